#include "test/unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/ev/loop.h"
#include "common/ev/mailbox.h"

struct fixture {
    struct loop *loop;
    char order[16];
    size_t n;
    uint64_t fired_ms;
    int signo;
};

static int up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err e;

    assert_true(loop_new(&f->loop, &e));
    *state = f;
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static void note(struct fixture *f, char c)
{
    f->order[f->n++] = c;
}

static void on_stop(void *arg)
{
    struct fixture *f = arg;

    f->fired_ms = clock_mono_ms();
    loop_stop(f->loop);
}

static void run(struct fixture *f)
{
    struct err e;

    assert_true(loop_run(f->loop, &e));
}

static void test_timer_is_never_early(void **state)
{
    struct fixture *f = *state;
    struct timer t;

    timer_init(&t, f->loop, on_stop, f);
    for (uint64_t ms = 0; ms < 12; ms += 3) {
        uint64_t at = clock_mono_ms() + ms;

        timer_at(&t, at + 5000);
        timer_at(&t, at); /* setting it again moves it */
        run(f);
        assert_true(f->fired_ms >= at);
        assert_true(f->fired_ms < at + 4000);
        assert_false(t.set);
    }
    timer_fini(&t);
}

struct item {
    struct loop_later later;
    struct fixture *f;
    bool again;
};

static void on_item(struct loop_later *self)
{
    struct item *it = CONTAINER_OF(self, struct item, later);

    note(it->f, 'l');
    if (it->again) {
        it->again = false;
        loop_later(it->f->loop, &it->later, on_item);
    } else {
        loop_stop(it->f->loop);
    }
}

static void on_post_later(void *arg)
{
    struct item *it = arg;

    loop_later(it->f->loop, &it->later, on_item);
    loop_later(it->f->loop, &it->later, on_item); /* twice is harmless */
    note(it->f, 't'); /* the end of the turn comes after its callbacks */
}

static void test_later_runs_after_the_turn(void **state)
{
    struct fixture *f = *state;
    struct item it = {.f = f, .again = true};
    struct timer t;

    timer_init(&t, f->loop, on_post_later, &it);
    timer_in(&t, 1);
    run(f);
    assert_string_equal(f->order, "tll");
    timer_fini(&t);
}

static void on_signal_seen(void *arg, int signo)
{
    struct fixture *f = arg;

    f->signo = signo;
    loop_stop(f->loop);
}

static void test_signal(void **state)
{
    struct fixture *f = *state;
    struct err e;

    assert_true(loop_on_signal(f->loop, SIGUSR1, on_signal_seen, f, &e));
    kill(getpid(), SIGUSR1);
    run(f);
    assert_int_equal(f->signo, SIGUSR1);
}

enum { POSTERS = 4, LETTERS = 2000 };

struct mail {
    struct letter letter;
    unsigned from, seq;
};

struct post_office {
    struct loop *loop;
    struct mailbox *mb;
    unsigned next[POSTERS], got;
    bool in_order;
};

static unsigned dropped;

static void on_mail_open(struct letter *l, void *owner)
{
    struct post_office *po = owner;
    struct mail *m = CONTAINER_OF(l, struct mail, letter);

    po->in_order = po->in_order && m->seq == po->next[m->from]++;
    mem_free(m);
    if (++po->got == POSTERS * LETTERS)
        loop_stop(po->loop);
}

static void on_mail_drop(struct letter *l)
{
    mem_free(CONTAINER_OF(l, struct mail, letter));
    dropped++;
}

struct poster {
    struct post_office *po;
    unsigned me;
};

static void post(struct post_office *po, unsigned from, unsigned seq)
{
    struct mail *m = mem_zalloc(sizeof(*m));

    *m = (struct mail){
        .letter = {.open = on_mail_open, .drop = on_mail_drop}, .from = from, .seq = seq};
    mailbox_post(po->mb, &m->letter);
}

static void *poster_main(void *arg)
{
    struct poster *p = arg;

    loop_block_signals();
    for (unsigned i = 0; i < LETTERS; i++)
        post(p->po, p->me, i);
    return NULL;
}

static void test_letters_of_many_threads_come_once_and_in_order(void **state)
{
    struct fixture *f = *state;
    struct post_office po = {.loop = f->loop, .in_order = true};
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    struct err e;

    assert_true(mailbox_new(f->loop, &po, &po.mb, &e));
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){&po, i};
        assert_int_equal(pthread_create(&threads[i], NULL, poster_main, &posters[i]), 0);
    }
    run(f);
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(po.got, POSTERS * LETTERS);
    assert_true(po.in_order);
    dropped = 0;
    post(&po, 0, 0); /* nobody will open this one */
    mailbox_free(po.mb);
    assert_int_equal(dropped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timer_is_never_early, up, down),
        cmocka_unit_test_setup_teardown(test_later_runs_after_the_turn, up, down),
        cmocka_unit_test_setup_teardown(test_signal, up, down),
        cmocka_unit_test_setup_teardown(test_letters_of_many_threads_come_once_and_in_order, up,
                                        down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
