/* Metrics of replies against references: BLEU, ROUGE-L and distinct-n of any script.  A character
 * of a script that is written without spaces (Han, kana, Thai, Lao, Myanmar, Khmer) is a word of
 * its own, with the marks that follow it.  Beside that, BLEU and ROUGE-L are what the usual Python
 * packages count (tests/text/fixtures/text_metrics.json is theirs). */
#ifndef REGARD_TEXT_TEXT_METRICS_H
#define REGARD_TEXT_TEXT_METRICS_H

#include <stdint.h>

/* sacrebleu's corpus_bleu: tokenizer 13a, exp smoothing, one reference each.  0..100; 0 for no
 * text. */
double text_bleu(const char *const *replies, const char *const *references, int64_t count);
/* rouge_score's rougeL F1 without stemmer, 0..1; words are runs of letters, marks and decimal
 * digits of any script, lower-cased (rouge_score itself knows a-z and 0-9 alone). */
double text_rouge_l(const char *reply, const char *reference);
/* rouge_score's rouge1, rouge2, ... F1 of the same words: n-grams that both have, each as often as
 * the one has it that has it less often. */
double text_rouge_n(const char *reply, const char *reference, int n);
/* sacrebleu's sentence_chrf: chrF2 of 6-grams of characters, white space left out; 0..100. */
double text_chrf(const char *reply, const char *reference);
/* Distinct n-grams / n-gram positions over all replies; words are what white space parts, case
 * kept; 0 when there is no n-gram. */
double text_distinct(const char *const *replies, int64_t count, int n);

#endif
