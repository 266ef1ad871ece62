#include "imapd/search_evaluator.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/strings.h"
#include "imapd/flags.h"
#include "imapd/server_entries.h"
#include "imapd/session.h"
#include "imapd/uid_sets.h"
#include "message/charset.h"
#include "message/date.h"

namespace mail::imapd {

using imap::SearchKey;
using Kind = SearchKey::Kind;
using store::UidSet;

namespace {

constexpr std::int64_t kDay = 86400;

store::View::TextQuery query_of(const SearchKey& key) {
  using Where = store::View::TextQuery::Where;
  struct FieldRow {
    std::string_view name;
    Where where;
  };
  static constexpr std::array kFields{FieldRow{"Bcc", Where::bcc}, FieldRow{"Cc", Where::cc},
                                      FieldRow{"From", Where::from}, FieldRow{"Subject", Where::subject},
                                      FieldRow{"To", Where::to}};
  store::View::TextQuery query;
  query.needle = key.text;
  if (key.kind == Kind::body) {
    query.where = Where::body;
  } else if (key.kind == Kind::text) {
    query.where = Where::text;
  } else {
    const auto row = std::ranges::find_if(kFields, [&](const FieldRow& r) { return iequals(r.name, key.field); });
    query.where = row == kFields.end() ? Where::header : row->where;
    query.field = key.field;
  }
  return query;
}

std::optional<Columns::Text> column_of(store::View::TextQuery::Where where) {
  using Where = store::View::TextQuery::Where;
  switch (where) {
    case Where::from:
      return Columns::Text::search_from;
    case Where::to:
      return Columns::Text::search_to;
    case Where::cc:
      return Columns::Text::search_cc;
    case Where::bcc:
      return Columns::Text::search_bcc;
    case Where::subject:
      return Columns::Text::search_subject;
    default:
      return std::nullopt;
  }
}

/// The day that stands in the Date field, time and zone disregarded (RFC 9051 section 6.4.4). The ENVELOPE begins with
/// the field.
std::int64_t sent_day(const store::Summary& summary) {
  imap::Arguments envelope(summary.envelope);
  if (envelope.take('('))
    if (const auto text = envelope.string())
      if (const auto date = message::parse_date(*text))
        return std::chrono::duration_cast<std::chrono::seconds>(date->local_day().time_since_epoch()).count();
  return summary.sent_date;
}

/// What it costs to evaluate a key, for the order within an AND.
int cost(const SearchKey& key) {
  switch (key.kind) {
    case Kind::sequence:
    case Kind::uid:
      return 0;
    case Kind::header:
      return 3;
    case Kind::text:
    case Kind::body:
      return 10;
    case Kind::all:
    case Kind::any:
    case Kind::negated: {
      int most = 1;
      for (const auto& child : key.children) most = std::max(most, cost(child));
      return most;
    }
    default:
      return key.date == SearchKey::Date::sent ? 2 : 1;
  }
}

}  // namespace

UidSet everything(const store::View& view) {
  if (view.exists() == 0) return {};
  return view.uids_of(store::SequenceNumber{1}, store::SequenceNumber{view.exists()});
}

namespace {
bool names_numbers(const SearchKey& key) {
  return (key.kind == Kind::sequence && !key.set.saved()) || std::ranges::any_of(key.children, names_numbers);
}
}  // namespace

std::optional<Completion> refuse_numbers(Session& session, const SearchKey& key) {
  if (!session.enabled().uid_only || !names_numbers(key)) return std::nullopt;
  return uid_required();
}

bool asks_for_modseq(const SearchKey& key) {
  return key.kind == Kind::modseq || std::ranges::any_of(key.children, asks_for_modseq);
}

std::optional<Completion> decode_charset(SearchKey& key, const std::string& charset) {
  if (charset.empty() || charset == "UTF-8" || charset == "US-ASCII") {
    // Without a charset UTF-8 is taken for what it is: mutt sends it so.
    if (!imap::decode_strings(
            key, [](const std::string& text) { return is_utf8(text) ? std::optional(text) : std::nullopt; }))
      return bad("Search string is not UTF-8");
    return std::nullopt;
  }
  if (!message::is_known_charset(charset)) return no("[BADCHARSET (UTF-8 US-ASCII ISO-8859-1)] Unknown charset");
  imap::decode_strings(key, [&](const std::string& text) { return std::optional(message::to_utf8(text, charset)); });
  return std::nullopt;
}

namespace {

constexpr std::string_view kFilterEntries = "/filters/values/";
/// Filters within filters; the RFC asks for three at least.
constexpr std::size_t kMostFilterDepth = 8;
constexpr std::size_t kMostFilters = 200;  ///< In one program, each time that one is used.

bool has_filters(const SearchKey& key) {
  return key.kind == Kind::filter || std::ranges::any_of(key.children, has_filters);
}

class FilterInserter {
 public:
  explicit FilterInserter(std::map<std::string, std::string> entries) : entries_(std::move(entries)) {}

  /// not_found: the text is the name of the filter that is missing, wrong, or comes round to itself.
  Status insert(SearchKey& key) {
    for (auto& child : key.children) MAIL_CHECK(insert(child));
    if (key.kind != Kind::filter) return {};
    const auto undefined = [&] { return fail(Error::Kind::not_found, key.text); };
    const auto name = to_lower(key.text);
    const bool loops = std::ranges::find(within_, name) != within_.end();
    if (loops || within_.size() == kMostFilterDepth || ++inserted_ > kMostFilters) return undefined();
    auto found = entries_.find(concat({"/private", kFilterEntries, name}));
    if (found == entries_.end()) found = entries_.find(concat({"/shared", kFilterEntries, name}));
    if (found == entries_.end()) return undefined();
    auto program = parse_filter(found->second);
    if (!program) return undefined();
    within_.push_back(name);
    MAIL_CHECK(insert(*program));
    within_.pop_back();
    key = std::move(*program);
    return {};
  }

 private:
  std::map<std::string, std::string> entries_;
  std::vector<std::string> within_;  ///< The filters that are being inserted, outermost first.
  std::size_t inserted_ = 0;
};

}  // namespace

Result<SearchKey> parse_filter(std::string_view text) {
  imap::Arguments arguments(text);
  MAIL_TRY(key, imap::take_search_keys(arguments));
  MAIL_CHECK(arguments.end());
  if (decode_charset(key, "UTF-8")) return fail(Error::Kind::syntax, "A filter is UTF-8");
  return std::move(key);
}

std::optional<Completion> insert_filters(Session& session, SearchKey& key, const std::string& charset) {
  if (!has_filters(key)) return std::nullopt;
  if (!charset.empty() && charset != "UTF-8" && charset != "US-ASCII")
    return bad("[BADCHARSET (UTF-8 US-ASCII)] FILTER is UTF-8");
  if (!session.may_block()) return on_worker();
  auto entries = server_entries(session);
  if (!entries) return failed(entries.error(), "Filters cannot be read");
  if (auto done = FilterInserter(std::move(*entries)).insert(key); !done) {
    const auto& name = done.error().text;
    const bool plain = !name.empty() && std::ranges::all_of(name, [](char c) {
      return imap::is_atom_char(static_cast<unsigned char>(c));
    });
    return no(concat({"[UNDEFINED-FILTER ", plain ? name : "x", "] No such filter"}));
  }
  return std::nullopt;
}

SearchEvaluator::SearchEvaluator(Session& session) : SearchEvaluator(session, session.view()) {
  saved_ = session.saved_result();
}

SearchEvaluator::SearchEvaluator(const Session& session, store::View& view)
    : session_(session),
      view_(view),
      keywords_(view.keywords()),
      now_(std::chrono::floor<std::chrono::seconds>(session.environment().clock->now()).time_since_epoch().count()) {}

bool SearchEvaluator::ready(const SearchKey& key, const UidSet& within) const {
  switch (key.kind) {
    case Kind::header:
    case Kind::body:
    case Kind::text:
      if (const auto query = query_of(key); column_of(query.where))
        return session_.environment().columns->ready(view_, within);
      else
        return view_.search_ready(query, within);
    case Kind::larger:
    case Kind::smaller:
      return view_.has_sizes(within);
    case Kind::email_id:
    case Kind::thread_id:
      return view_.has_summaries(within);
    case Kind::before:
    case Kind::on:
    case Kind::since:
      return key.date != SearchKey::Date::sent || view_.has_summaries(within);
    default:
      return std::ranges::all_of(key.children, [&](const SearchKey& child) { return ready(child, within); });
  }
}

UidSet SearchEvaluator::rows_where(const UidSet& within, const Row& matches) const {
  UidSet found;
  view_.rows(within, [&](store::SequenceNumber number, const store::MessageRow& row) {
    if (matches(number, row)) found.add(row.uid);
    return true;
  });
  return found;
}

Result<UidSet> SearchEvaluator::summaries_where(const UidSet& within, const Summarised& matches) {
  if (!view_.has_summaries(within)) MAIL_CHECK(view_.complete_summaries(within));
  UidSet found;
  view_.summaries(within, [&](store::SequenceNumber, const store::MessageRow& row, const store::Summary& summary) {
    if (matches(row, summary)) found.add(row.uid);
    return true;
  });
  return found;
}

Result<UidSet> SearchEvaluator::all_of(const SearchKey& key, UidSet within) {
  std::vector<const SearchKey*> order;
  for (const auto& child : key.children) order.push_back(&child);
  std::ranges::stable_sort(order, {}, [](const SearchKey* child) { return cost(*child); });
  for (const auto* child : order) {
    if (within.empty()) break;
    MAIL_TRY(found, evaluate(*child, within));
    within = std::move(found);
  }
  return within;
}

Result<UidSet> SearchEvaluator::by_flag(const SearchKey& key, const UidSet& within) const {
  MAIL_TRY(names, flags_of({key.text}));
  const bool set = key.number != 0;
  if (names.keywords.empty())
    return rows_where(within,
                      [&](auto, const store::MessageRow& row) { return store::has(row.flags, names.flags) == set; });
  const auto found =
      std::ranges::find_if(keywords_, [&](const std::string& name) { return iequals(name, names.keywords.front()); });
  if (found == keywords_.end()) return set ? UidSet{} : within;
  const auto bit = store::KeywordBits{1} << (found - keywords_.begin());
  return rows_where(within, [&](auto, const store::MessageRow& row) { return ((row.keywords & bit) != 0) == set; });
}

Result<UidSet> SearchEvaluator::by_date(const SearchKey& key, const UidSet& within) {
  const std::int64_t from = std::chrono::duration_cast<std::chrono::seconds>(key.day.time_since_epoch()).count();
  const auto matches = [&](std::int64_t time) {
    if (key.kind == Kind::before) return time < from;
    if (key.kind == Kind::since) return time >= from;
    return time >= from && time < from + kDay;
  };
  switch (key.date) {
    case SearchKey::Date::internal:
      return rows_where(within, [&](auto, const store::MessageRow& row) { return matches(row.internal_date); });
    case SearchKey::Date::saved:
      return rows_where(within, [&](auto, const store::MessageRow& row) {
        return matches(row.save_date != 0 ? row.save_date : row.internal_date);
      });
    case SearchKey::Date::sent:
      break;
  }
  return summaries_where(
      within, [&](const store::MessageRow&, const store::Summary& summary) { return matches(sent_day(summary)); });
}

Result<UidSet> SearchEvaluator::by_text(const SearchKey& key, const UidSet& within) {
  const auto query = query_of(key);
  if (const auto column = column_of(query.where)) {
    return session_.environment()
        .columns->of(view_, within)
        ->containing(*column, message::fold_case(query.needle), within);
  }
  return view_.search_text(query, within);
}

Result<UidSet> SearchEvaluator::by_set(const SearchKey& key, const UidSet& within) {
  MAIL_TRY(named, Session::messages_in(view_, saved_, key.set, key.kind == Kind::uid, true));
  return intersection(within, named);
}

Result<UidSet> SearchEvaluator::by_size(const SearchKey& key, const UidSet& within) {
  if (!view_.has_sizes(within)) MAIL_CHECK(view_.complete_sizes(within));
  const bool larger = key.kind == Kind::larger;
  return rows_where(within, [&](auto, const store::MessageRow& row) {
    return larger ? row.octets > key.number : row.octets < key.number;
  });
}

Result<UidSet> SearchEvaluator::evaluate(const SearchKey& key, const UidSet& within) {
  if (within.empty()) return UidSet{};
  switch (key.kind) {
    case Kind::all:
      return all_of(key, within);
    case Kind::any: {
      MAIL_TRY(first, evaluate(key.children[0], within));
      MAIL_TRY(second, evaluate(key.children[1], difference(within, first)));
      return sum(first, second);
    }
    case Kind::negated: {
      MAIL_TRY(found, evaluate(key.children[0], within));
      return difference(within, found);
    }
    case Kind::sequence:
    case Kind::uid:
      return by_set(key, within);
    case Kind::flag:
      return by_flag(key, within);
    case Kind::recent:
      return rows_where(within, [&](auto, const store::MessageRow& row) {
        return row.recent == (key.number != 0) && (key.number != 2 || !store::has(row.flags, store::Flags::seen));
      });
    case Kind::header:
    case Kind::body:
    case Kind::text:
      return by_text(key, within);
    case Kind::larger:
    case Kind::smaller:
      return by_size(key, within);
    case Kind::older:
      return rows_where(within, [&](auto, const store::MessageRow& row) {
        return row.internal_date <= now_ - static_cast<std::int64_t>(key.number);
      });
    case Kind::younger:
      return rows_where(within, [&](auto, const store::MessageRow& row) {
        return row.internal_date >= now_ - static_cast<std::int64_t>(key.number);
      });
    case Kind::before:
    case Kind::on:
    case Kind::since:
      return by_date(key, within);
    case Kind::modseq:
      return rows_where(within,
                        [&](auto, const store::MessageRow& row) { return store::number(row.modseq) >= key.number; });
    case Kind::email_id:
      return summaries_where(within, [&](const store::MessageRow&, const store::Summary& summary) {
        return summary.email_id == key.text;
      });
    case Kind::thread_id:
      return summaries_where(within, [&](const store::MessageRow&, const store::Summary& summary) {
        return summary.thread_id == key.text;
      });
    case Kind::save_date_supported:
      return within;
    case Kind::filter:
      return fail(Error::Kind::not_found, "No such filter");
  }
  return UidSet{};
}

}  // namespace mail::imapd
