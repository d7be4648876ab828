/* summarise: turns daily rows into one line per month. The rows carry date
 * (YYYY-MM-DD), precipitation, temp_max and temp_min; the months come out in
 * the order in which they first appear. */
#include "uniflow.h"

UF_DESCRIPTOR("{\"name\":\"summarise\",\"version\":\"1.0.0\",\"description\":\"Sums and means of daily weather by month\",\"functions\":{\"summarise\":{\"with\":{\"type\":\"object\",\"required\":[\"rows\"],\"properties\":{\"rows\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"date\",\"precipitation\",\"temp_max\",\"temp_min\"]}}}},\"outputs\":{\"type\":\"object\",\"properties\":{\"months\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"month\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},\"precipitation\":{\"type\":\"number\"},\"temp_max_mean\":{\"type\":\"number\"},\"temp_min_mean\":{\"type\":\"number\"}}}}}}}}}");

enum { MAX_MONTHS = 600, BYTES_PER_MONTH = 160 };

typedef struct {
    uf_str name; /* 2015-01 */
    int32_t days;
    double precipitation, temp_max, temp_min;
} month_t;

static month_t months[MAX_MONTHS];
static uint32_t count;

/* month_of returns the month of a date, a new one where it is the first day;
 * NULL when there are too many. Rows usually come in order: look backwards. */
static month_t *month_of(uf_str date) {
    uf_str name = {date.at, 7};
    for (uint32_t i = count; i > 0; i--)
        if (uf_equal(months[i - 1].name, name)) return &months[i - 1];
    if (count == MAX_MONTHS) return NULL;
    months[count] = (month_t){.name = name};
    return &months[count++];
}

/* add counts one row; 0 when it does not have the expected shape. */
static int add(uf_json row) {
    double precipitation, temp_max, temp_min;
    uf_str date = uf_text(uf_get(row, "date"));
    if (date.len != 10 || date.at[4] != '-' || date.at[7] != '-') return 0;
    if (!uf_number(uf_get(row, "precipitation"), &precipitation)) return 0;
    if (!uf_number(uf_get(row, "temp_max"), &temp_max)) return 0;
    if (!uf_number(uf_get(row, "temp_min"), &temp_min)) return 0;
    month_t *month = month_of(date);
    if (!month) return 0;
    month->days++;
    month->precipitation += precipitation;
    month->temp_max += temp_max;
    month->temp_min += temp_min;
    return 1;
}

static int32_t bad_row(int64_t index) {
    uf_buf why = uf_buffer(256);
    uf_put(&why, "row ");
    uf_put_int(&why, index);
    uf_put(&why, " is not usable: it needs date as YYYY-MM-DD, precipitation, temp_max and temp_min as numbers, and ");
    uf_put(&why, "the rows may span 600 months at most");
    uf_import_fail(UF_PERMANENT, why.at, why.len);
    return UF_PERMANENT;
}

static void put_month(uf_buf *out, const month_t *month) {
    uf_put(out, "{\"month\":");
    uf_put_string(out, month->name);
    uf_put(out, ",\"days\":");
    uf_put_int(out, month->days);
    uf_put(out, ",\"precipitation\":");
    uf_put_fixed(out, month->precipitation, 1);
    uf_put(out, ",\"temp_max_mean\":");
    uf_put_fixed(out, month->temp_max / month->days, 2);
    uf_put(out, ",\"temp_min_mean\":");
    uf_put_fixed(out, month->temp_min / month->days, 2);
    uf_put(out, "}");
}

UF_ENTRY(summarise) {
    uf_json rows = uf_get(uf_get(uf_context(), "with"), "rows"), row;
    if (!uf_is(rows, '[')) return uf_fail(UF_PERMANENT, "with.rows must be a list of daily rows");
    int64_t index = 0;
    count = 0;
    for (uf_iter it = uf_each(rows); uf_next(&it, &row); index++)
        if (!add(row)) return bad_row(index);
    if (!count) return uf_fail(UF_SKIP, "there are no rows to summarise");

    uf_buf out = uf_buffer(count * BYTES_PER_MONTH);
    uf_put(&out, "[");
    for (uint32_t i = 0; i < count; i++) {
        if (i) uf_put(&out, ",");
        put_month(&out, &months[i]);
    }
    uf_put(&out, "]");
    return uf_output("months", &out);
}
