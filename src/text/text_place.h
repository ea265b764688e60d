/* Where a text stands that is encoded by itself. */
#ifndef REGARD_TEXT_TEXT_PLACE_H
#define REGARD_TEXT_TEXT_PLACE_H

/* What stands before a text that is a part of a longer one: SentencePiece puts a space before a
 * text alone, and of decoder-only models before what stands behind a special token or not. */
enum text_place { PLACE_FIRST, PLACE_BEHIND_SPECIAL, PLACE_BEHIND_TEXT };

#endif
