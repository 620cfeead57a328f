#include "base/date.h"

#include <stdbool.h>

#define NS_PER_MS 1000000
enum { MS_PER_S = 1000, S_PER_DAY = 86400, DAYS_PER_ERA = 146097 };

static char *
put_digits(char *at, uint64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + width;
}

static char *
put_char(char *at, char c)
{
    *at = c;
    return at + 1;
}

/* Days are counted from 1 March, so that a leap day ends its year, in eras of 400
 * years, after which the calendar repeats. */
void
mw_date_format(int64_t t_real_ns, char text[MW_DATE_BYTES])
{
    char *at = text;

    *text = '\0';
    if (t_real_ns < 0) {
        return;
    }

    uint64_t all_ms = (uint64_t)t_real_ns / NS_PER_MS;
    uint64_t all_s = all_ms / MS_PER_S;
    uint64_t second = all_s % S_PER_DAY;
    uint64_t days = all_s / S_PER_DAY + 719468; /* since 1 March of the year 0 */
    uint64_t day_of_era = days % DAYS_PER_ERA;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) /
        365;
    uint64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    bool is_next_year = month >= 10;

    at = put_digits(at, days / DAYS_PER_ERA * 400 + year_of_era + is_next_year, 4);
    at = put_digits(put_char(at, '-'), is_next_year ? month - 9 : month + 3, 2);
    at = put_digits(put_char(at, '-'), day_of_year - (153 * month + 2) / 5 + 1, 2);
    at = put_digits(put_char(at, 'T'), second / 3600, 2);
    at = put_digits(put_char(at, ':'), second / 60 % 60, 2);
    at = put_digits(put_char(at, ':'), second % 60, 2);
    at = put_digits(put_char(at, '.'), all_ms % MS_PER_S, 3);
    for (const char *zone = "+00:00"; *zone != '\0'; zone++) {
        at = put_char(at, *zone);
    }
    *at = '\0';
}
