/* SPDX-License-Identifier: MIT */
#include "admin/words.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

const char *
words_span(struct words *room, int64_t span_s)
{
    /* Up to two of the next unit are said in this one: "90 min" tells more than "2 h". */
    static const struct {
        int64_t below_s, unit_s;
        const char *name;
    } units[] = {
        {120, 1, "s"},
        {120 * 60, 60, "min"},
        {48 * 3600, 3600, "h"},
        {INT64_MAX, 86400, "d"},
    };
    size_t i = 0;
    while (span_s >= units[i].below_s && i + 1 < ARRAY_LEN(units))
        i++;
    snprintf(room->text, sizeof(room->text), "%lld %s",
             (long long)((span_s + units[i].unit_s / 2) / units[i].unit_s), units[i].name);
    return room->text;
}

const char *
words_relative(struct words *room, int64_t at_s, int64_t now_s)
{
    if (at_s == now_s)
        snprintf(room->text, sizeof(room->text), "now");
    else if (at_s > now_s)
        snprintf(room->text, sizeof(room->text), "in %s", WORDS_SPAN(at_s - now_s));
    else
        snprintf(room->text, sizeof(room->text), "%s ago", WORDS_SPAN(now_s - at_s));
    return room->text;
}

const char *
words_when(struct words *room, int64_t at_s, int64_t now_s)
{
    char stamp[CLOCK_TEXT_SIZE];
    clock_format(stamp, at_s);
    snprintf(room->text, sizeof(room->text), "%s (%s)", stamp, WORDS_RELATIVE(at_s, now_s));
    return room->text;
}

/* Digits only, where sscanf() would take signs and blanks. */
static bool
shaped(const char *text, const char *shape)
{
    for (; *shape; shape++, text++) {
        if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
            return false;
    }
    return *text == '\0';
}

bool
words_read_time(const char *text, int64_t *ret)
{
    struct tm tm = {0};
    bool day_only = shaped(text, "0000-00-00");
    if (!day_only && !shaped(text, "0000-00-00T00:00:00Z"))
        return false;
    int n = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                   &tm.tm_hour, &tm.tm_min, &tm.tm_sec);
    if (n != (day_only ? 3 : 6))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm wanted = tm;
    int64_t at_s = timegm(&tm);
    /* timegm() makes the 30th of February a day of March. */
    if (tm.tm_mday != wanted.tm_mday || tm.tm_mon != wanted.tm_mon ||
        tm.tm_year != wanted.tm_year || tm.tm_hour != wanted.tm_hour ||
        tm.tm_min != wanted.tm_min || tm.tm_sec != wanted.tm_sec)
        return false;
    *ret = at_s;
    return true;
}
