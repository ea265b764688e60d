/* Metrics of replies against references: BLEU and ROUGE-L as the usual Python packages count
 * them (tests/report/text_metrics.json is theirs), and distinct-n. */
#ifndef REGARD_REPORT_TEXT_METRICS_H
#define REGARD_REPORT_TEXT_METRICS_H

#include <stdint.h>

/* sacrebleu's corpus_bleu as it comes: tokenizer 13a, exp smoothing, one reference each.
 * 0..100; 0 for no text. */
double text_bleu(const char *const *replies, const char *const *references, int64_t count);
/* Mean over pairs of rouge_score's rougeL F1 without stemmer: 0..1. */
double text_rouge_l(const char *const *replies, const char *const *references, int64_t count);
/* Distinct n-grams / n-gram positions over all replies; tokens are what white space parts,
 * case kept; 0 when there is no n-gram. */
double text_distinct(const char *const *replies, int64_t count, int n);

#endif
