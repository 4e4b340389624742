/* SPDX-License-Identifier: MIT */
#include "base/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/*
 * Signals from the keyboard are switched off with the echo: an interrupt then comes as a byte, and
 * no handler is needed to give the terminal its echo back.
 */
static enum attest_rc
silence(int tty, struct termios *before, struct attest_error *err)
{
    if (tcgetattr(tty, before) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "cannot ask at the terminal");
    struct termios quiet = *before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "cannot silence the terminal");
    return ATTEST_OK;
}

/* One line into room; a byte behind len_max is read and makes the answer too long. */
static enum attest_rc
read_line(int tty, const struct termios *keys, uint8_t *room, size_t len_max, size_t *len,
          struct attest_error *err)
{
    bool too_long = false;
    *len = 0;
    for (;;) {
        uint8_t c;
        ssize_t n = read(tty, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ATTEST_E_IO, errno, "cannot read from the terminal");
        if (n == 0 || c == keys->c_cc[VINTR] || (c == keys->c_cc[VEOF] && *len == 0))
            return error_set(err, ATTEST_E_DENIED, "given up at the prompt");
        if (c == '\n' || c == '\r')
            break;
        if (c == keys->c_cc[VERASE] || c == '\b') {
            *len -= *len > 0;
            too_long = false;
        } else if (c == keys->c_cc[VKILL]) {
            *len = 0;
            too_long = false;
        } else if (*len < len_max) {
            room[(*len)++] = c;
        } else {
            too_long = true;
        }
    }
    if (too_long)
        return error_set(err, ATTEST_E_LIMIT, "longer than %zu characters", len_max);
    if (*len == 0)
        return error_set(err, ATTEST_E_ARGUMENT, "nothing was typed");
    return ATTEST_OK;
}

enum attest_rc
prompt_secret(const char *question, size_t len_max, struct secret *ret, struct attest_error *err)
{
    AUTO(fd) int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (tty < 0)
        return error_set(err, ATTEST_E_IO, "no terminal to ask at");
    AUTO(secret) struct secret room = secret_new(len_max);
    struct termios before;
    enum attest_rc rc = silence(tty, &before, err);
    if (rc)
        return rc;
    size_t len = 0;
    if (write(tty, question, strlen(question)) < 0)
        rc = error_errno(err, ATTEST_E_IO, errno, "cannot write to the terminal");
    else
        rc = read_line(tty, &before, room.p, len_max, &len, err);
    tcsetattr(tty, TCSAFLUSH, &before);
    (void)!write(tty, "\n", 1);
    if (rc == ATTEST_OK)
        *ret = secret_copy(room.p, len);
    return rc;
}

enum attest_rc
prompt_line(const char *question, char *room, size_t room_size, struct attest_error *err)
{
    AUTO(fd) int tty = isatty(STDIN_FILENO) ? open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
    if (tty < 0)
        return error_set(err, ATTEST_E_IO, "no terminal to ask at");
    tcflush(tty, TCIFLUSH); /* what was typed before the question is no answer to it */
    if (write(tty, question, strlen(question)) < 0)
        return error_errno(err, ATTEST_E_IO, errno, "cannot write to the terminal");
    size_t len = 0;
    for (char c;;) {
        ssize_t n = read(tty, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ATTEST_E_IO, errno, "cannot read from the terminal");
        if (n == 0)
            return error_set(err, ATTEST_E_DENIED, "given up at the prompt");
        if (c == '\n')
            break;
        if (len < room_size)
            room[len++] = c;
    }
    if (len >= room_size)
        return error_set(err, ATTEST_E_LIMIT, "longer than %zu characters", room_size - 1);
    if (len == 0)
        return error_set(err, ATTEST_E_ARGUMENT, "nothing was typed");
    room[len] = '\0';
    return ATTEST_OK;
}
