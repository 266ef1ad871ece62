// SEARCH over text: exact substrings of decoded, case-folded text.
#include <algorithm>

#include "base/contains.h"
#include "base/strings.h"
#include "message/charset.h"
#include "message/header.h"
#include "message/search_text.h"
#include "store/parallel.h"
#include "store/summary.h"
#include "store/summary_cache.h"
#include "store/text_index.h"
#include "store/view.h"

namespace mail::store {

namespace {

using Where = View::TextQuery::Where;

/// The field of a summary that answers the query, or nothing.
std::optional<std::string_view> summary_text(const Summary& summary, Where where) {
  switch (where) {
    case Where::from:
      return summary.search_from;
    case Where::to:
      return summary.search_to;
    case Where::cc:
      return summary.search_cc;
    case Where::bcc:
      return summary.search_bcc;
    case Where::subject:
      return summary.search_subject;
    default:
      return std::nullopt;
  }
}

/// `HEADER field` over raw fields: any field of that name whose decoded value contains the needle; an empty needle asks
/// for the field alone.
bool header_matches(std::string_view header, std::string_view field, std::string_view needle) {
  for (const auto& found : message::HeaderFields(header))
    if (iequals(found.name, field) && (needle.empty() || contains(message::field_search_text(found.value), needle)))
      return true;
  return false;
}

bool from_summary(const View::TextQuery& query) {
  return query.where != Where::body && query.where != Where::text &&
         (query.where != Where::header || is_cached_field(query.field));
}

}  // namespace

bool SessionView::search_ready(const TextQuery& query, const UidSet& within) const {
  return from_summary(query) && has_summaries(within);
}

Result<UidSet> SessionView::search_text(const TextQuery& query, const UidSet& within) {
  UidSet out;
  const auto needle = message::fold_case(query.needle);
  if (from_summary(query)) {
    MAIL_CHECK(complete_summaries(within));
    std::vector<Uid> unsure;
    const auto look = [&](SequenceNumber, const MessageRow& row, const Summary& summary) {
      if (query.where != Where::header) {
        if (contains(*summary_text(summary, query.where), needle)) out.add(row.uid);
      } else if (header_matches(summary.header_fields, query.field, needle)) {
        out.add(row.uid);
      } else if (!summary.header_fields_whole) {
        unsure.push_back(row.uid);
      }
      return true;
    };
    if (query.where == Where::header)
      summaries(within, look);
    else
      keys(within, look);
    for (const auto uid : unsure) {
      const auto file = open_message(uid);
      if (file && header_matches(message::header_of((*file)->raw()), query.field, needle)) out.add(uid);
    }
    return out;
  }
  if (query.where == Where::header) return search_headers(query.field, needle, within);
  return search_bodies(query.where == Where::text, needle, within);
}

Result<UidSet> SessionView::search_headers(const std::string& field, const std::string& needle, const UidSet& within) {
  UidSet out;
  std::vector<Uid> uids;
  existing(within).for_each([&](Uid uid) { uids.push_back(uid); });
  std::vector<char> hit(uids.size(), 0);
  in_parallel(uids.size(), 0, 16, [&](std::size_t i) {
    const auto file = open_message(uids[i]);
    if (file) hit[i] = header_matches(message::header_of((*file)->raw()), field, needle) ? 1 : 0;
  });
  for (std::size_t i = 0; i < uids.size(); ++i)
    if (hit[i] != 0) out.add(uids[i]);
  return out;
}

Result<UidSet> SessionView::search_bodies(bool with_header, const std::string& needle, const UidSet& within) {
  UidSet out;
  if (needle.empty()) return existing(within);
  struct Item {
    Uid uid{};
    bool known = false;  ///< It has a filter, or will have one soon.
    bool hit = false;
    std::string made;
  };
  std::vector<Item> items;  // those that the filters leave
  const bool ahead = mailbox_->indexes_ahead();
  {
    const TextIndex::Reading filters(mailbox_->texts());
    const auto trigrams = needle_trigrams(needle);
    std::shared_lock lock(mailbox_->image_lock());
    const auto& image = mailbox_->image();
    for_rows(within, [&](RowNumber row, SequenceNumber) {
      const auto filter = image.filter(row);
      if (filter != 0 && !trigrams.empty() && !filters.may_contain(filter, trigrams)) return true;
      items.push_back({image.uid(row), ahead || mailbox_->texts().plausible(filter), false, {}});
      return true;
    });
  }
  constexpr std::size_t kPiece = 4096;  // bounds the memory of filters that are made on the way
  for (std::size_t from = 0; from < items.size(); from += kPiece) {
    mailbox_->note_reading();
    const auto count = std::min(kPiece, items.size() - from);
    in_parallel(count, 0, 64, [&](std::size_t i) {
      thread_local message::Tree tree;
      thread_local std::string scratch;
      auto& item = items[from + i];
      const auto file = open_message(item.uid);
      if (!file) return;
      if (item.known) {
        item.hit = message::search_text_contains((*file)->raw(), with_header, needle, tree, scratch);
        if (scratch.capacity() > (16U << 20)) scratch = std::string();
        return;
      }
      const auto body = message::search_text((*file)->raw(), tree, scratch);
      item.hit = contains(with_header ? std::string_view(scratch) : std::string_view(scratch).substr(body), needle);
      item.made = make_filter(scratch);
      if (scratch.capacity() > (16U << 20)) scratch = std::string();
    });
    std::vector<std::string> made;
    std::vector<record::Filters::Row> rows;
    for (std::size_t i = from; i < from + count; ++i) {
      if (items[i].hit) out.add(items[i].uid);
      if (items[i].made.empty()) continue;
      made.push_back(std::move(items[i].made));
      rows.push_back({items[i].uid, 0});
    }
    // A full disk costs only the index, not the answer.
    (void)mailbox_->keep({}, {}, {std::move(rows)}, {made.begin(), made.end()});
  }
  return out;
}

}  // namespace mail::store
