#include "imap/search_program.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imap/response.h"

namespace mail::imap {
namespace {

using Kind = SearchKey::Kind;
using Date = SearchKey::Date;

auto syntax(const char* text) { return fail(Error::Kind::syntax, text); }

/// How a key's argument is read.
enum class Argument : std::uint8_t {
  none,
  string,
  number,
  day,
  flag,
  seconds,
  header,
  object_id,
  set,
  above,
  below,
  modseq,
  name
};

struct KeyRow {
  std::string_view name;
  Kind kind;
  Argument argument = Argument::none;
  std::string_view text = {};  ///< Flag or header field the key stands for.
  std::uint64_t number = 0;    ///< 1: the flag is set.
  Date date = Date::internal;
};

// Sorted by name. What nests (AND, OR, NOT, FUZZY) is not here: see take_key().
constexpr std::array kKeys{
    KeyRow{"ALL", Kind::all},
    KeyRow{"ANSWERED", Kind::flag, Argument::none, "\\Answered", 1},
    KeyRow{"BCC", Kind::header, Argument::string, "Bcc"},
    KeyRow{"BEFORE", Kind::before, Argument::day},
    KeyRow{"BODY", Kind::body, Argument::string},
    KeyRow{"CC", Kind::header, Argument::string, "Cc"},
    KeyRow{"DELETED", Kind::flag, Argument::none, "\\Deleted", 1},
    KeyRow{"DRAFT", Kind::flag, Argument::none, "\\Draft", 1},
    KeyRow{"EMAILID", Kind::email_id, Argument::object_id},
    KeyRow{"FILTER", Kind::filter, Argument::name},
    KeyRow{"FLAGGED", Kind::flag, Argument::none, "\\Flagged", 1},
    KeyRow{"FROM", Kind::header, Argument::string, "From"},
    KeyRow{"HEADER", Kind::header, Argument::header},
    KeyRow{"KEYWORD", Kind::flag, Argument::flag, "", 1},
    KeyRow{"LARGER", Kind::larger, Argument::number},
    KeyRow{"MODSEQ", Kind::modseq, Argument::modseq},
    KeyRow{"NEW", Kind::recent, Argument::none, "", 2},
    KeyRow{"OLD", Kind::recent, Argument::none, "", 0},
    KeyRow{"OLDER", Kind::older, Argument::seconds},
    KeyRow{"ON", Kind::on, Argument::day},
    KeyRow{"RECENT", Kind::recent, Argument::none, "", 1},
    KeyRow{"SAVEDATESUPPORTED", Kind::save_date_supported},
    KeyRow{"SAVEDBEFORE", Kind::before, Argument::day, "", 0, Date::saved},
    KeyRow{"SAVEDON", Kind::on, Argument::day, "", 0, Date::saved},
    KeyRow{"SAVEDSINCE", Kind::since, Argument::day, "", 0, Date::saved},
    KeyRow{"SEEN", Kind::flag, Argument::none, "\\Seen", 1},
    KeyRow{"SENTBEFORE", Kind::before, Argument::day, "", 0, Date::sent},
    KeyRow{"SENTON", Kind::on, Argument::day, "", 0, Date::sent},
    KeyRow{"SENTSINCE", Kind::since, Argument::day, "", 0, Date::sent},
    KeyRow{"SINCE", Kind::since, Argument::day},
    KeyRow{"SMALLER", Kind::smaller, Argument::number},
    KeyRow{"SUBJECT", Kind::header, Argument::string, "Subject"},
    KeyRow{"TEXT", Kind::text, Argument::string},
    KeyRow{"THREADID", Kind::thread_id, Argument::object_id},
    KeyRow{"TO", Kind::header, Argument::string, "To"},
    KeyRow{"UID", Kind::uid, Argument::set},
    KeyRow{"UIDAFTER", Kind::uid, Argument::above},
    KeyRow{"UIDBEFORE", Kind::uid, Argument::below},
    KeyRow{"UNANSWERED", Kind::flag, Argument::none, "\\Answered", 0},
    KeyRow{"UNDELETED", Kind::flag, Argument::none, "\\Deleted", 0},
    KeyRow{"UNDRAFT", Kind::flag, Argument::none, "\\Draft", 0},
    KeyRow{"UNFLAGGED", Kind::flag, Argument::none, "\\Flagged", 0},
    KeyRow{"UNKEYWORD", Kind::flag, Argument::flag, "", 0},
    KeyRow{"UNSEEN", Kind::flag, Argument::none, "\\Seen", 0},
    KeyRow{"YOUNGER", Kind::younger, Argument::seconds},
};
static_assert(std::ranges::is_sorted(kKeys, {}, &KeyRow::name));

class KeyReader {
 public:
  explicit KeyReader(Arguments& arguments) : arguments_(arguments) {}

  Result<SearchKey> take_keys(int depth) {
    SearchKey both;
    do {
      MAIL_TRY(key, take_key(depth));
      both.children.push_back(std::move(key));
    } while (arguments_.take(' '));
    if (both.children.size() == 1) {
      // Not `return std::move(children[0])` into itself: the child leaves its parent first.
      SearchKey only = std::move(both.children.front());
      return only;
    }
    return both;
  }

 private:
  Result<SearchKey> take_key(int depth) {
    if (depth > kMostNesting) return syntax("Search keys are nested too deep");
    if (++count_ > kMostSearchKeys) return syntax("Too many search keys");
    if (arguments_.take('(')) {
      MAIL_TRY(keys, take_keys(depth + 1));
      MAIL_CHECK(arguments_.close());
      return std::move(keys);
    }
    const int next = arguments_.peek();
    if (next == '*' || next == '$' || is_digit(static_cast<unsigned char>(next < 0 ? 0 : next))) {
      SearchKey key;
      key.kind = Kind::sequence;
      MAIL_TRY(set, arguments_.sequence_set());
      key.set = std::move(set);
      return key;
    }
    const auto word = arguments_.atom();
    if (!word) return syntax("Search key expected");
    const auto name = to_upper(*word);
    if (name == "NOT" || name == "FUZZY") return take_nested(name, depth);
    if (name == "OR") return take_or(depth);
    const auto row = std::ranges::lower_bound(kKeys, name, {}, &KeyRow::name);
    if (row == kKeys.end() || row->name != name) return unknown("search key", name);
    return take_arguments(*row);
  }

  Result<SearchKey> take_nested(const std::string& name, int depth) {
    MAIL_CHECK(arguments_.space());
    MAIL_TRY(inner, take_key(depth + 1));
    if (name == "FUZZY") {
      inner.fuzzy = true;
      return std::move(inner);
    }
    SearchKey key;
    key.kind = Kind::negated;
    key.children.push_back(std::move(inner));
    return key;
  }

  Result<SearchKey> take_or(int depth) {
    SearchKey key;
    key.kind = Kind::any;
    for (int i = 0; i < 2; ++i) {
      MAIL_CHECK(arguments_.space());
      MAIL_TRY(inner, take_key(depth + 1));
      key.children.push_back(std::move(inner));
    }
    return key;
  }

  Result<SearchKey> take_arguments(const KeyRow& row) {
    SearchKey key;
    key.kind = row.kind;
    key.date = row.date;
    key.number = row.number;
    if (row.kind == Kind::header)
      key.field = row.text;
    else
      key.text = row.text;
    if (row.argument == Argument::none) return key;
    MAIL_CHECK(arguments_.space());
    MAIL_CHECK(take_argument(row.argument, key));
    return key;
  }

  Status take_argument(Argument argument, SearchKey& key) {
    switch (argument) {
      case Argument::none:
        break;
      case Argument::header: {
        MAIL_TRY(field, arguments_.astring());
        key.field = std::move(field);
        MAIL_CHECK(arguments_.space());
        [[fallthrough]];
      }
      case Argument::string:
      case Argument::name: {
        MAIL_TRY(text, arguments_.astring());
        key.text = std::move(text);
        break;
      }
      case Argument::object_id: {
        MAIL_TRY(text, arguments_.astring());
        key.text = std::move(text);
        break;
      }
      case Argument::number: {
        MAIL_TRY(number, arguments_.number64());
        key.number = number;
        break;
      }
      case Argument::seconds: {
        MAIL_TRY(number, arguments_.nz_number());
        key.number = number;
        break;
      }
      case Argument::day: {
        MAIL_TRY(day, arguments_.date());
        key.day = day;
        break;
      }
      case Argument::flag: {
        MAIL_TRY(flag, arguments_.flag());
        key.text = flag;
        break;
      }
      case Argument::set: {
        MAIL_TRY(set, arguments_.sequence_set());
        key.set = std::move(set);
        break;
      }
      case Argument::above: {
        MAIL_TRY(uid, arguments_.nz_number());
        return set_uids(key, std::uint64_t{uid} + 1, UINT32_MAX);
      }
      case Argument::below: {
        MAIL_TRY(uid, arguments_.nz_number());
        return set_uids(key, 1, std::uint64_t{uid} - 1);
      }
      case Argument::modseq:
        return take_modseq(key);
    }
    return {};
  }

  /// UIDAFTER and UIDBEFORE (RFC 9738 section 3.2) as the UIDs they stand for; none of them is NOT ALL.
  static Status set_uids(SearchKey& key, std::uint64_t first, std::uint64_t last) {
    if (first > last) {
      key.kind = Kind::negated;
      key.children.resize(1);
      return {};
    }
    MAIL_TRY(set, SequenceSet::parse(decimal(first) + ":" + decimal(last)));
    key.set = std::move(set);
    return {};
  }

  /// MODSEQ ["/flags/\\Seen" all] 620162338 (RFC 7162 section 3.1.5; the flag as in section 7's attr-flag)
  Status take_modseq(SearchKey& key) {
    if (arguments_.peek() == '"') {
      MAIL_TRY(entry, arguments_.string());
      if (!istarts_with(entry, "/flags/")) return syntax("Unknown metadata entry");
      key.field = entry.substr(7);
      const auto name = std::string_view(key.field).substr(key.field.starts_with('\\') ? 1 : 0);
      if (name.empty() ||
          !std::ranges::all_of(name, [](char c) { return is_atom_char(static_cast<unsigned char>(c)); }))
        return syntax("Unknown metadata entry");
      MAIL_CHECK(arguments_.space());
      MAIL_TRY(type, arguments_.atom());
      if (!iequals(type, "all") && !iequals(type, "priv") && !iequals(type, "shared"))
        return syntax("Unknown entry type");
      MAIL_CHECK(arguments_.space());
    }
    MAIL_TRY(number, arguments_.number64());
    key.number = number;
    return {};
  }

  Arguments& arguments_;
  std::size_t count_ = 0;
};

void print_key(const SearchKey& key, std::string& out);

void print_children(const SearchKey& key, std::string& out) {
  out += '(';
  for (std::size_t i = 0; i < key.children.size(); ++i) {
    if (i > 0) out += ' ';
    print_key(key.children[i], out);
  }
  out += ')';
}

void print_date(const SearchKey& key, std::string_view word, std::string& out) {
  if (key.date == Date::sent) out += "SENT";
  if (key.date == Date::saved) out += "SAVED";
  out += word;
  out += ' ';
  std::string text;
  append_date_time(text, {key.day, {}});
  out += std::string_view(text).substr(0, 11);
}

void print_number(std::string_view word, std::uint64_t number, std::string& out) {
  out += word;
  out += ' ';
  append_decimal(out, number);
}

void print_string(std::string_view word, std::string_view text, std::string& out) {
  out += word;
  out += ' ';
  append_astring(out, text, true);
}

void print_key(const SearchKey& key, std::string& out) {
  if (key.fuzzy) out += "FUZZY ";
  switch (key.kind) {
    case Kind::all:
      if (key.children.empty())
        out += "ALL";
      else
        print_children(key, out);
      break;
    case Kind::any:
      out += "OR ";
      print_key(key.children[0], out);
      out += ' ';
      print_key(key.children[1], out);
      break;
    case Kind::negated:
      out += "NOT ";
      print_key(key.children[0], out);
      break;
    case Kind::sequence:
      out += key.set.text();
      break;
    case Kind::uid:
      out += "UID ";
      out += key.set.text();
      break;
    case Kind::flag:
      if (key.number == 0) out += "UN";
      out += key.text.starts_with('\\') &&
                     std::ranges::any_of(
                         kKeys, [&](const KeyRow& row) { return row.kind == Kind::flag && row.text == key.text; })
                 ? to_upper(std::string_view(key.text).substr(1))
                 : "KEYWORD " + key.text;
      break;
    case Kind::recent:
      out += key.number == 0 ? "OLD" : key.number == 1 ? "RECENT" : "NEW";
      break;
    case Kind::header:
      out += "HEADER ";
      append_astring(out, key.field, true);
      out += ' ';
      append_astring(out, key.text, true);
      break;
    case Kind::body:
      print_string("BODY", key.text, out);
      break;
    case Kind::text:
      print_string("TEXT", key.text, out);
      break;
    case Kind::email_id:
      print_string("EMAILID", key.text, out);
      break;
    case Kind::thread_id:
      print_string("THREADID", key.text, out);
      break;
    case Kind::filter:
      print_string("FILTER", key.text, out);
      break;
    case Kind::larger:
      print_number("LARGER", key.number, out);
      break;
    case Kind::smaller:
      print_number("SMALLER", key.number, out);
      break;
    case Kind::older:
      print_number("OLDER", key.number, out);
      break;
    case Kind::younger:
      print_number("YOUNGER", key.number, out);
      break;
    case Kind::before:
      print_date(key, "BEFORE", out);
      break;
    case Kind::on:
      print_date(key, "ON", out);
      break;
    case Kind::since:
      print_date(key, "SINCE", out);
      break;
    case Kind::modseq:
      out += "MODSEQ ";
      if (!key.field.empty()) {
        append_string(out, "/flags/" + key.field, true);
        out += " all ";
      }
      append_decimal(out, key.number);
      break;
    case Kind::save_date_supported:
      out += "SAVEDATESUPPORTED";
      break;
  }
}

}  // namespace

std::string SearchKey::print() const {
  std::string out;
  print_key(*this, out);
  return out;
}

Result<SearchKey> take_search_keys(Arguments& arguments) { return KeyReader(arguments).take_keys(0); }

Result<ReturnOptions> take_return_options(Arguments& arguments) {
  ReturnOptions options;
  options.given = true;
  MAIL_CHECK(arguments.open());
  struct Row {
    std::string_view name;
    bool ReturnOptions::*option;
  };
  static constexpr std::array kOptions{
      Row{"ALL", &ReturnOptions::all},     Row{"CONTEXT", &ReturnOptions::context},
      Row{"COUNT", &ReturnOptions::count}, Row{"MAX", &ReturnOptions::max},
      Row{"MIN", &ReturnOptions::min},     Row{"RELEVANCY", &ReturnOptions::relevancy},
      Row{"SAVE", &ReturnOptions::save},   Row{"UPDATE", &ReturnOptions::update},
  };
  if (!arguments.take(')')) {
    do {
      MAIL_TRY(word, arguments.atom());
      if (iequals(word, "PARTIAL")) {
        if (options.partial) return syntax("Only one PARTIAL is possible");
        MAIL_CHECK(arguments.space());
        MAIL_TRY(first, arguments.signed_number());
        if (!arguments.take(':')) return syntax("Invalid range");
        MAIL_TRY(last, arguments.signed_number());
        if (first == 0 || last == 0 || (first < 0) != (last < 0)) return syntax("Invalid range");
        options.partial = std::pair{first, last};
        continue;
      }
      const auto row = std::ranges::find_if(kOptions, [&](const Row& r) { return iequals(r.name, word); });
      if (row == kOptions.end()) return unknown("RETURN option", word);
      options.*(row->option) = true;
      if (row->option == &ReturnOptions::update && arguments.peek() == ' ' && arguments.cursor().peek(1) == '(') {
        MAIL_CHECK(arguments.space());
        MAIL_TRY(attributes, take_fetch_attributes(arguments));
        options.update_attributes = std::move(attributes);
      }
    } while (arguments.take(' '));
    MAIL_CHECK(arguments.close());
  }
  if (options.all && options.partial) return syntax("ALL and PARTIAL exclude each other");  // RFC 9394 section 3.1
  // RFC 4731: an empty list means ALL. CONTEXT, UPDATE and RELEVANCY alone ask for no result of their own either, so
  // that ALL is meant; SAVE is not.
  if (!options.min && !options.max && !options.count && !options.save && !options.partial) options.all = true;
  return options;
}

Result<SearchArguments> take_search_arguments(Arguments& arguments) {
  SearchArguments search;
  if (arguments.take_word("RETURN ")) {
    MAIL_TRY(options, take_return_options(arguments));
    search.options = options;
    MAIL_CHECK(arguments.space());
  }
  if (arguments.take_word("CHARSET ")) {
    MAIL_TRY(charset, arguments.astring());
    search.charset = to_upper(charset);
    MAIL_CHECK(arguments.space());
  }
  MAIL_TRY(key, take_search_keys(arguments));
  search.key = std::move(key);
  MAIL_CHECK(arguments.end());
  return search;
}

Result<std::vector<SortKey>> take_sort_keys(Arguments& arguments) {
  struct Row {
    std::string_view name;
    SortKey::By by;
  };
  static constexpr std::array kSortKeys{
      Row{"ARRIVAL", SortKey::By::arrival},
      Row{"CC", SortKey::By::cc},
      Row{"DATE", SortKey::By::date},
      Row{"DISPLAYFROM", SortKey::By::display_from},
      Row{"DISPLAYTO", SortKey::By::display_to},
      Row{"FROM", SortKey::By::from},
      Row{"RELEVANCY", SortKey::By::relevancy},
      Row{"SIZE", SortKey::By::size},
      Row{"SUBJECT", SortKey::By::subject},
      Row{"TO", SortKey::By::to},
  };
  MAIL_TRY(words, arguments.atom_list());
  std::vector<SortKey> keys;
  bool reverse = false;
  for (const auto& word : words) {
    if (word == "REVERSE") {
      reverse = true;
      continue;
    }
    const auto row = std::ranges::find(kSortKeys, word, &Row::name);
    if (row == kSortKeys.end()) return unknown("sort key", word);
    if (keys.size() < kSortKeys.size() * 2) keys.push_back({row->by, reverse});
    reverse = false;
  }
  if (keys.empty() || reverse) return syntax("Sort keys expected");
  return keys;
}

}  // namespace mail::imap
