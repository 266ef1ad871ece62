// SEARCH's argument as a tree: RFC 9051 section 6.4.4, WITHIN (5032), MODSEQ (7162), FUZZY (6203), FILTER (5466),
// SAVEDATE (8514), OBJECTID (8474); RETURN options (4731, 5267, 9394), SORT and THREAD arguments (5256, 5957).
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imap/arguments.h"
#include "imap/number_set.h"
#include "imap/section.h"

namespace mail::imap {

struct SearchKey {
  enum class Kind : std::uint8_t {
    all,       ///< children: AND. With no children: every message.
    any,       ///< children: OR.
    negated,   ///< the one child does not match
    sequence,  ///< set: sequence numbers
    uid,       ///< set: UIDs
    flag,      ///< text: `\Seen`, `$x`; number: 1 set, 0 not set
    recent,    ///< number: 1 or 0 (OLD)
    header,    ///< field, text (empty: the field exists)
    body,
    text,
    larger,  ///< number
    smaller,
    older,  ///< number: seconds
    younger,
    before,  ///< day; which date: `date`
    on,
    since,
    modseq,    ///< number; field: the entry's flag where one was given
    email_id,  ///< text
    thread_id,
    save_date_supported,
    filter,  ///< text: name of a stored search
  };
  enum class Date : std::uint8_t { internal, sent, saved };

  Kind kind = Kind::all;
  Date date = Date::internal;
  bool fuzzy = false;
  std::string field;
  std::string text;  ///< UTF-8.
  std::uint64_t number = 0;
  Day day{};
  SequenceSet set;
  std::vector<SearchKey> children;

  /// The key as a client would write it: parsing it again gives the same tree.
  std::string print() const;
  bool operator==(const SearchKey&) const = default;
};
inline constexpr std::size_t kMostSearchKeys = 20'000;

/// RETURN (…): what is asked for. All absent: the old `* SEARCH` form.
struct ReturnOptions {
  bool given = false;
  bool min = false, max = false, all = false, count = false, save = false, update = false, context = false,
       relevancy = false;
  /// PARTIAL, 1-based; negative: from the end (RFC 9394).
  std::optional<std::pair<std::int64_t, std::int64_t>> partial;
  std::vector<FetchAttribute> update_attributes;  ///< `UPDATE (UID FLAGS)` (RFC 5465 section 7)
  bool operator==(const ReturnOptions&) const = default;
};

/// Takes `CHARSET x`; known charsets are decoded by the caller (see kCharsets of message/charset.h), so it only names
/// it.
struct SearchArguments {
  ReturnOptions options;
  std::string charset;  ///< Upper case; empty where none was named.
  SearchKey key;
};

struct SortKey {
  enum class By : std::uint8_t { arrival, cc, date, from, size, subject, to, display_from, display_to, relevancy };
  By by;
  bool reverse = false;
  bool operator==(const SortKey&) const = default;
};

/// `RETURN (MIN COUNT)`, without the word RETURN.
Result<ReturnOptions> take_return_options(Arguments& arguments);
/// One or more search-keys with SP between them, to the end.
Result<SearchKey> take_search_keys(Arguments& arguments);
/// All that follows SEARCH.
Result<SearchArguments> take_search_arguments(Arguments& arguments);
/// `(REVERSE DATE SUBJECT)`
Result<std::vector<SortKey>> take_sort_keys(Arguments& arguments);

/// Applies a charset decoder to every string of the tree: nothing where one cannot be decoded.
template <class Decode>
bool decode_strings(SearchKey& key, Decode decode) {
  for (std::string* text : {&key.text, &key.field}) {
    if (text->empty()) continue;
    auto utf8 = decode(*text);
    if (!utf8) return false;
    *text = std::move(*utf8);
  }
  for (auto& child : key.children)
    if (!decode_strings(child, decode)) return false;
  return true;
}

}  // namespace mail::imap
