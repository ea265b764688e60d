/* SentencePiece behind C linkage; see sentencepiece_shim.h. */
#include "src/text/sentencepiece_shim.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

/* Exported by the library, but in none of its installed headers. */
namespace sentencepiece::logging
{
void SetMinLogLevel(int level);
}

struct sp_model {
    sentencepiece::SentencePieceProcessor processor;
};

namespace
{

bool refuse(char error[SENTENCEPIECE_ERROR], const char *why)
{
    std::snprintf(error, SENTENCEPIECE_ERROR, "%s", why);
    return false;
}

/* False, with SentencePiece's own words, when it was not content. */
bool good(const sentencepiece::util::Status &status, char error[SENTENCEPIECE_ERROR])
{
    return status.ok() ? true : refuse(error, status.ToString().c_str());
}

struct Span {
    int32_t id, begin, end;
};

/* Byte-fallback pieces of one character: only the last (or first) carries its range; all of
 * them stand for that character. */
std::vector<Span> spans_of(const sp_model *model,
                           const sentencepiece::ImmutableSentencePieceText &text)
{
    std::vector<Span> spans;
    for (const auto &piece : text.pieces())
        spans.push_back({(int32_t)piece.id(), (int32_t)piece.begin(), (int32_t)piece.end()});
    const size_t count = spans.size();
    for (size_t i = count; i-- > 0;) {
        if (spans[i].begin != spans[i].end || !model->processor.IsByte(spans[i].id)) continue;
        if (i + 1 < count && model->processor.IsByte(spans[i + 1].id) &&
            spans[i + 1].begin == spans[i].end) {
            spans[i].begin = spans[i + 1].begin;
            spans[i].end = spans[i + 1].end;
        }
    }
    for (size_t i = 1; i < count; i++)
        if (spans[i].begin == spans[i].end && model->processor.IsByte(spans[i].id) &&
            model->processor.IsByte(spans[i - 1].id) && spans[i - 1].end == spans[i].begin) {
            spans[i].begin = spans[i - 1].begin;
            spans[i].end = spans[i - 1].end;
        }
    return spans;
}

/* The training texts, one after another. */
class Texts : public sentencepiece::SentenceIterator
{
  public:
    Texts(const char *const *texts, size_t count) : texts_(texts), count_(count)
    {
        load();
    }
    bool done() const override
    {
        return index_ >= count_;
    }
    void Next() override
    {
        index_++;
        load();
    }
    const std::string &value() const override
    {
        return value_;
    }
    sentencepiece::util::Status status() const override
    {
        return sentencepiece::util::Status();
    }

  private:
    void load()
    {
        if (index_ < count_) value_ = texts_[index_];
    }
    const char *const *texts_;
    size_t count_, index_ = 0;
    std::string value_;
};

char *copy_out(const std::string &text)
{
    char *copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy) {
        std::memcpy(copy, text.data(), text.size());
        copy[text.size()] = 0;
    }
    return copy;
}

} // namespace

bool sentencepiece_load(const void *model, size_t size, struct sp_model **out,
                        char error[SENTENCEPIECE_ERROR])
{
    try {
        sentencepiece::logging::SetMinLogLevel(4); /* its errors come to us as a status */
        auto loaded = std::make_unique<sp_model>();
        const absl::string_view bytes(static_cast<const char *>(model), size);
        if (!good(loaded->processor.LoadFromSerializedProto(bytes), error)) return false;
        if (!good(loaded->processor.status(), error)) return false;
        *out = loaded.release();
        return true;
    } catch (const std::exception &e) {
        return refuse(error, e.what());
    }
}

void sentencepiece_free(struct sp_model *model)
{
    delete model;
}

int32_t sentencepiece_size(const struct sp_model *model)
{
    return model->processor.GetPieceSize();
}

int32_t sentencepiece_pad(const struct sp_model *model)
{
    return model->processor.pad_id();
}

int32_t sentencepiece_end(const struct sp_model *model)
{
    return model->processor.eos_id();
}

int32_t sentencepiece_unknown(const struct sp_model *model)
{
    return model->processor.unk_id();
}

int32_t sentencepiece_id(const struct sp_model *model, const char *piece)
{
    const int id = model->processor.PieceToId(piece);
    return id >= 0 && model->processor.IdToPiece(id) == piece ? id : -1;
}

const char *sentencepiece_piece(const struct sp_model *model, int32_t id)
{
    return model->processor.IdToPiece(id).c_str();
}

bool sentencepiece_encode(const struct sp_model *model, const char *text, size_t size,
                          sentencepiece_visit visit, void *context, char error[SENTENCEPIECE_ERROR])
{
    try {
        sentencepiece::ImmutableSentencePieceText result;
        if (!good(model->processor.Encode(absl::string_view(text, size), result.mutable_proto()),
                  error))
            return false;
        for (const Span &span : spans_of(model, result))
            visit(context, span.id, span.begin, span.end);
        return true;
    } catch (const std::exception &e) {
        return refuse(error, e.what());
    }
}

bool sentencepiece_decode(const struct sp_model *model, const int32_t *ids, size_t count,
                          bool strip_first, sentencepiece_visit visit, void *context, char **text,
                          size_t *size, char error[SENTENCEPIECE_ERROR])
{
    try {
        const int32_t limit = sentencepiece_size(model);
        std::vector<int> wanted(ids, ids + count);
        for (int id : wanted)
            if (id < 0 || id >= limit) return refuse(error, "token id out of range");
        sentencepiece::ImmutableSentencePieceText result;
        if (strip_first) {
            const std::string space = "\xe2\x96\x81";
            std::vector<std::string> pieces;
            for (int id : wanted) pieces.push_back(model->processor.IdToPiece(id));
            if (!pieces.empty() && pieces[0].compare(0, space.size(), space) == 0)
                pieces[0] = pieces[0].substr(space.size());
            if (!good(model->processor.Decode(pieces, result.mutable_proto()), error)) return false;
        } else {
            if (!good(model->processor.Decode(wanted, result.mutable_proto()), error)) return false;
        }
        if (visit)
            for (const Span &span : spans_of(model, result))
                visit(context, span.id, span.begin, span.end);
        *text = copy_out(result.text());
        *size = result.text().size();
        return *text ? true : refuse(error, "out of memory");
    } catch (const std::exception &e) {
        return refuse(error, e.what());
    }
}

bool sentencepiece_train(const char *const *texts, size_t count, int64_t vocabulary,
                         const char *symbols_csv, bool keep_spaces, void **model, size_t *size,
                         char error[SENTENCEPIECE_ERROR])
{
    try {
        /* One thread and every sentence: equal input gives an equal model. */
        std::unordered_map<std::string, std::string> options = {
            {"model_type", "unigram"},
            {"vocab_size", std::to_string(vocabulary)},
            {"hard_vocab_limit", "false"},
            {"pad_id", "0"},
            {"eos_id", "1"},
            {"unk_id", "2"},
            {"bos_id", "-1"},
            {"pad_piece", "<pad>"},
            {"eos_piece", "</s>"},
            {"unk_piece", "<unk>"},
            {"character_coverage", "1.0"},
            {"num_threads", "1"},
            {"input_sentence_size", "0"},
            {"shuffle_input_sentence", "false"},
            {"max_sentence_length", std::to_string(SENTENCEPIECE_TEXT_MAX)},
            {"minloglevel", "4"},
        };
        if (keep_spaces) options["remove_extra_whitespaces"] = "false";
        if (*symbols_csv) options["user_defined_symbols"] = symbols_csv;
        Texts iterator(texts, count);
        std::string serialized;
        if (!good(sentencepiece::SentencePieceTrainer::Train(options, &iterator, &serialized),
                  error))
            return false;
        *model = copy_out(serialized);
        *size = serialized.size();
        return *model ? true : refuse(error, "out of memory");
    } catch (const std::exception &e) {
        return refuse(error, e.what());
    }
}
