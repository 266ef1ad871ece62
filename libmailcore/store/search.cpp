// SEARCH over text: exact substrings of decoded, case-folded text.
#include <algorithm>
#include <cstring>

#include "base/strings.h"
#include "message/charset.h"
#include "message/header.h"
#include "message/search_text.h"
#include "store/parallel.h"
#include "store/summary.h"
#include "store/summary_cache.h"
#include "store/view.h"

namespace mail::store {

namespace {

using Where = View::TextQuery::Where;

bool contains(std::string_view text, std::string_view needle) {
  return needle.empty() || ::memmem(text.data(), text.size(), needle.data(), needle.size()) != nullptr;
}

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

bool message_matches(std::string_view raw, const View::TextQuery& query, std::string_view needle, message::Tree& tree,
                     std::string& scratch) {
  if (query.where == Where::header) return header_matches(message::header_of(raw), query.field, needle);
  if (needle.empty()) return true;
  message::parse(raw, tree);
  scratch.clear();
  if (query.where == Where::text) message::append_header_search_text(scratch, tree.header(tree.root()));
  message::append_body_search_text(scratch, tree);
  return contains(scratch, needle);
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
    summaries(within, [&](SequenceNumber, const MessageRow& row, const Summary& summary) {
      if (query.where != Where::header) {
        if (contains(*summary_text(summary, query.where), needle)) out.add(row.uid);
      } else if (header_matches(summary.header_fields, query.field, needle)) {
        out.add(row.uid);
      } else if (!summary.header_fields_whole) {
        unsure.push_back(row.uid);
      }
      return true;
    });
    for (const auto uid : unsure) {
      const auto file = open_message(uid);
      if (file && header_matches(message::header_of((*file)->raw()), query.field, needle)) out.add(uid);
    }
    return out;
  }
  std::vector<Uid> uids;
  existing(within).for_each([&](Uid uid) { uids.push_back(uid); });
  std::vector<char> hit(uids.size(), 0);
  in_parallel(uids.size(), 0, 16, [&](std::size_t i) {
    thread_local message::Tree tree;
    thread_local std::string scratch;
    const auto file = open_message(uids[i]);
    if (file) hit[i] = message_matches((*file)->raw(), query, needle, tree, scratch) ? 1 : 0;
    if (scratch.capacity() > (16U << 20)) scratch = std::string();
  });
  for (std::size_t i = 0; i < uids.size(); ++i)
    if (hit[i] != 0) out.add(uids[i]);
  return out;
}

}  // namespace mail::store
