/* SPDX-License-Identifier: MIT */
#include "fetch/engine.h"

/* Built without libcurl: everything else works, with files. */

static enum attest_rc
unsupported(struct attest_error *err)
{
    return error_set(err, ATTEST_E_UNSUPPORTED, "built without libcurl");
}

enum attest_rc
fetch_init(struct attest_error *err)
{
    (void)err;
    return ATTEST_OK;
}

enum attest_rc
fetch_once(const struct fetch_request *request, struct fetch_answer *ret, struct attest_error *err)
{
    (void)request;
    (void)ret;
    return unsupported(err);
}

void
fetch_answer_done(struct fetch_answer *answer)
{
    buf_done(&answer->body);
}

enum attest_rc
fetch_url_check(const char *url, struct attest_error *err)
{
    (void)url;
    return unsupported(err);
}

enum attest_rc
fetch_engine_new(struct fetch_engine **ret, struct attest_error *err)
{
    (void)ret;
    return unsupported(err);
}

/* There never is one. */

void
fetch_engine_free(struct fetch_engine *engine)
{
    (void)engine;
}

enum attest_rc
fetch_engine_start(struct fetch_engine *engine, const struct fetch_request *request,
                   fetch_done *done, void *ctx, struct attest_error *err)
{
    (void)engine, (void)request, (void)done, (void)ctx;
    return unsupported(err);
}

int
fetch_engine_fd(const struct fetch_engine *engine)
{
    (void)engine;
    return -1;
}

int
fetch_engine_timeout_ms(const struct fetch_engine *engine)
{
    (void)engine;
    return -1;
}

void
fetch_engine_step(struct fetch_engine *engine)
{
    (void)engine;
}
