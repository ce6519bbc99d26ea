# shellcheck shell=bash
# Instances as processes, where no container engine can run. Needs ui.sh, packages.sh, engine.sh, daemons.sh, config.sh.

PROCESS_UNIT=/etc/systemd/system/lbctl-ctl.service.d/process.conf
PROCESS_USER=lbctl-app
PROCESS_SECRETS=$LBCTL_STATE/secrets

# runtime_decide WISH: sets runtime to docker or process. WISH is what --runtime says, "" when it says nothing. The
# operator's file has the last word; auto tries the engine and falls back.
runtime_decide()
{
    local wish=$1 have=''
    if [[ -e $LBCTL_CONFIG ]]; then
        have=$(config_key "$LBCTL_CONFIG" runtime docker)
        [[ $have != auto ]] || have=docker
        if [[ -n $wish && $wish != auto && $wish != "$have" ]]; then
            ui_die "--runtime $wish: $LBCTL_CONFIG is written for $have" \
                "deploy/down --purge begins anew (the data goes too), or write the file for $wish by hand: $(config_template "$wish")"
        fi
        runtime=$have
        return 0
    fi
    runtime=docker
    if [[ $wish == process ]]; then
        runtime=process
    elif [[ $wish != docker ]] && ! (engine_ensure) >>"$UI_LOG" 2>&1; then
        ui_warn "no container engine can be started here: instances will be processes of this host (see $UI_LOG)"
        # shellcheck disable=SC2034 # for the caller
        runtime=process
    fi
}

config_template()
{
    if [[ $1 == process ]]; then
        echo "$DEPLOY_DIR/lbctl-process.yaml"
    else
        echo "$DEPLOY_DIR/lbctl.yaml"
    fi
}

# The Acts application's needs: PostgreSQL's programs without a cluster of the package's own, an account, the password
# where that account can read it, and a unit that lets ctld's children live on.
process_ensure()
{
    if [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    packages_ensure postgresql-15
    getent group "$PROCESS_USER" >/dev/null || groupadd --system "$PROCESS_USER"
    getent passwd "$PROCESS_USER" >/dev/null ||
        useradd --system --gid "$PROCESS_USER" --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin \
            --comment 'lbctl instances' "$PROCESS_USER"
    secret_ensure
    install -d -m 0750 -o root -g "$PROCESS_USER" "$PROCESS_SECRETS"
    install -m 0440 -o root -g "$PROCESS_USER" "$POSTGRES_SECRET" "$PROCESS_SECRETS/postgres-password"
    if on_systemd && ! cmp -s "$DEPLOY_DIR/systemd/process.conf" "$PROCESS_UNIT"; then
        install -D -m 0644 "$DEPLOY_DIR/systemd/process.conf" "$PROCESS_UNIT"
        systemctl daemon-reload >>"$UI_LOG" 2>&1
    fi
}

process_purge()
{
    rm -f -- "$PROCESS_UNIT"
    rmdir -- "${PROCESS_UNIT%/*}" 2>/dev/null || true
    userdel "$PROCESS_USER" >>"$UI_LOG" 2>&1 || true
    groupdel "$PROCESS_USER" >>"$UI_LOG" 2>&1 || true
}
