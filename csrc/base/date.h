/* Dates as text. Pure; any thread.
 *
 * Not by gmtime_r(): it takes a lock of the C library that fork() does not release in
 * the child, and the publisher's thread may hold it at any time.
 *
 *     char text[MW_DATE_BYTES];
 *     mw_date_format(mw_clock_real_ns(), text); // "2026-11-23T12:00:00.123+00:00"
 */

#ifndef MW_BASE_DATE_H
#define MW_BASE_DATE_H

#include <stdint.h>

enum { MW_DATE_BYTES = 32 };

/* Nanoseconds since 1970 as ISO 8601 in UTC with milliseconds, like
 * CellReport.started_at; "" if negative. */
void mw_date_format(int64_t t_real_ns, char text[MW_DATE_BYTES]);

#endif
