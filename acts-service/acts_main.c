#include "acts-service/acts.h"
#include "acts-service/acts_schema.h"

static const struct db_stmt stmts[] = {
#define STMT(sym, flags, sql) [STMT_##sym] = {#sym, sql, flags},
#include "acts-service/acts_stmt.def"
#undef STMT
};

static const struct route routes[] = {
#define ROUTE(pattern, counted, get, post, del) {pattern, counted, get, post, del},
#include "acts-service/routes.def"
#undef ROUTE
};

int main(int argc, char **argv, char **envp)
{
    static const struct service_def acts = {
        .program = "acts",
        .prefix = "ACTS",
        .routes = routes,
        .routes_n = ARRAY_LEN(routes),
        .stmts = stmts,
        .stmts_n = STMT_COUNT,
        .schema_version = ACTS_SCHEMA_VERSION,
        .stmt_version = STMT_SCHEMA_VERSION,
        .stmt_migrate = STMT_SCHEMA_MIGRATE,
        .stmt_pulse = STMT_PULSE,
        .stmt_count = STMT_COUNT_GET,
        .stmt_count_reset = STMT_COUNT_RESET,
    };

    return service_main(&acts, argc, argv, envp);
}
