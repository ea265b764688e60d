/* Sums in a text; see equations.h.  The text becomes tokens once; the sides of each "=" are parsed
 * among these by recursive descent. */
#include "src/text/equations.h"

#include "src/base/memory.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT_WORDS = 3 }; /* most words between a number and what follows it */

enum token_kind { TOKEN_NUMBER, TOKEN_SIGN, TOKEN_WORD, TOKEN_END };

struct token {
    enum token_kind kind;
    char sign; /* + - * / ( ) =, 0: another */
    double value;
    int decimals; /* digits behind the point */
};

static const struct {
    const char *text;
    char sign;
} signs[] = {{"+", '+'},        {"-", '-'}, {"\xe2\x88\x92", '-'}, {"*", '*'},
             {"\xc3\x97", '*'}, {"/", '/'}, {"\xc3\xb7", '/'},     {"(", '('},
             {")", ')'},        {"=", '='}};

/* 1,200.50: commas are left out, a point counts where a digit follows it. */
static const char *number_read(const char *at, struct token *token)
{
    double value = 0, unit = 1;
    *token = (struct token){.kind = TOKEN_NUMBER};
    for (; isdigit((unsigned char)*at) || (*at == ',' && isdigit((unsigned char)at[1])); at++)
        if (*at != ',') value = 10 * value + (*at - '0');
    if (*at == '.' && isdigit((unsigned char)at[1]))
        for (at++; isdigit((unsigned char)*at); at++, token->decimals++)
            value += (*at - '0') * (unit /= 10);
    token->value = value;
    if (*at != '%') return at;
    token->value /= 100;
    token->decimals += 2;
    return at + 1;
}

static bool begins_number(const char *at)
{
    return isdigit((unsigned char)*at) || (*at == '.' && isdigit((unsigned char)at[1]));
}

static const char *token_read(const char *at, struct token *token)
{
    if (*at == '$' && begins_number(at + 1)) at++;
    if (begins_number(at)) return number_read(at, token);
    if (isalpha((unsigned char)*at)) {
        *token = (struct token){.kind = TOKEN_WORD, .sign = *at};
        const char *end = at + 1;
        while (isalnum((unsigned char)*end) || *end == '\'') end++;
        if (end - at > 1 || (*at != 'x' && *at != 'X')) token->sign = 0;
        return end;
    }
    *token = (struct token){.kind = TOKEN_SIGN};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        const size_t size = strlen(signs[i].text);
        if (strncmp(at, signs[i].text, size)) continue;
        token->sign = signs[i].sign;
        return at + size;
    }
    return at + 1;
}

static bool is_sign(const struct token *token, char sign)
{
    return token->kind == TOKEN_SIGN && token->sign == sign;
}

/* A lone x between numbers multiplies. */
static void times_mark(struct token *tokens, int64_t count)
{
    for (int64_t i = 1; i + 1 < count; i++) {
        const bool before = tokens[i - 1].kind == TOKEN_NUMBER || is_sign(&tokens[i - 1], ')');
        const bool after = tokens[i + 1].kind == TOKEN_NUMBER || is_sign(&tokens[i + 1], '(');
        if (tokens[i].kind == TOKEN_WORD && tokens[i].sign && before && after)
            tokens[i] = (struct token){.kind = TOKEN_SIGN, .sign = '*'};
    }
}

/* Leaves out the words of units: behind a number, before a sign of arithmetic. */
static int64_t units_drop(struct token *tokens, int64_t count)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        tokens[kept++] = tokens[i];
        if (tokens[i].kind != TOKEN_NUMBER) continue;
        int64_t words = 0;
        while (i + 1 + words < count && tokens[i + 1 + words].kind == TOKEN_WORD) words++;
        const struct token *behind = &tokens[i + 1 + words];
        if (words <= UNIT_WORDS && i + 1 + words < count && behind->kind == TOKEN_SIGN &&
            behind->sign && behind->sign != '(')
            i += words;
    }
    return kept;
}

/* The tokens of a text, one of kind TOKEN_END behind them; to be freed. */
static struct token *tokens_read(const char *text, int64_t *count)
{
    struct token *tokens = memory_allocate((strlen(text) + 1) * sizeof *tokens);
    *count = 0;
    for (const char *at = text; *at;) {
        if (*at == ' ' || *at == '\t')
            at++;
        else
            at = token_read(at, &tokens[(*count)++]);
    }
    times_mark(tokens, *count);
    *count = units_drop(tokens, *count);
    tokens[*count] = (struct token){.kind = TOKEN_END};
    return tokens;
}

struct sum {
    const struct token *at; /* the next token */
    bool failed;
    int computed; /* operations */
    int decimals;
};

static double sum_parse(struct sum *p);

static double atom_parse(struct sum *p)
{
    double sign = 1, value;
    if (is_sign(p->at, '-')) {
        sign = -1;
        p->at++;
    }
    if (p->at->kind == TOKEN_NUMBER) {
        p->decimals = p->at->decimals;
        return sign * (p->at++)->value;
    }
    if (!is_sign(p->at, '(')) {
        p->failed = true;
        return 0;
    }
    p->at++;
    value = sum_parse(p);
    if (!is_sign(p->at, ')')) {
        p->failed = true;
        return 0;
    }
    p->at++;
    return sign * value;
}

static double product_parse(struct sum *p)
{
    double value = atom_parse(p);
    while (!p->failed && (is_sign(p->at, '*') || is_sign(p->at, '/'))) {
        const bool times = (p->at++)->sign == '*';
        const double other = atom_parse(p);
        value = times ? value * other : value / other;
        p->computed++;
    }
    return value;
}

static double sum_parse(struct sum *p)
{
    double value = product_parse(p);
    while (!p->failed && (is_sign(p->at, '+') || is_sign(p->at, '-'))) {
        const bool plus = (p->at++)->sign == '+';
        const double other = product_parse(p);
        value = plus ? value + other : value - other;
        p->computed++;
    }
    return value;
}

/* The longest sum that ends right before `end`, no farther back than `first`; failed: none. */
static struct sum left_parse(const struct token *first, const struct token *end, double *value)
{
    struct sum p = {.failed = true};
    for (; first < end; first++) {
        p = (struct sum){.at = first};
        *value = sum_parse(&p);
        if (!p.failed && p.at == end) return p;
    }
    p.failed = true;
    return p;
}

struct equations text_equations(const char *text)
{
    struct equations out = {0};
    int64_t count;
    struct token *tokens = tokens_read(text, &count);
    int64_t first = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!is_sign(&tokens[i], '=')) continue;
        double left = 0;
        const struct sum before = left_parse(tokens + first, tokens + i, &left);
        struct sum after = {.at = tokens + i + 1};
        const double right = sum_parse(&after);
        first = i + 1;
        if (before.failed || after.failed || before.computed + after.computed == 0) continue;
        /* Half a unit of the last digit; of whole numbers nothing but rounding. */
        const double half = after.decimals ? 0.5 * pow(10, -after.decimals) : 0;
        out.count++;
        out.hold += fabs(left - right) <= half + 1e-9 * fmax(1, fabs(right));
    }
    free(tokens);
    return out;
}
