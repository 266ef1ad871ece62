#include "message/address.h"

#include <algorithm>
#include <array>

#include "base/cursor.h"
#include "base/strings.h"
#include "message/encoded_word.h"

namespace mail::message {

namespace {

/// Octets of a word in lenient reading: all that has no meaning of its own.
constexpr auto kWord = [] {
  std::array<bool, 256> word{};
  for (std::size_t c = '!'; c < word.size(); ++c)
    word[c] = c != 0x7F && std::string_view("()<>:;@,\"").find(static_cast<char>(c)) == std::string_view::npos;
  return word;
}();
bool is_word(unsigned char c) { return kWord[c]; }

class AddressParser {
 public:
  AddressParser(std::string_view value, const std::function<void(const Address&)>& visit) : in_(value), visit_(visit) {}

  bool run() {
    reset();
    while (!in_.at_end()) step();
    end_mailbox();
    if (in_group_) {
      end_group();
      odd_ = true;
    }
    return !odd_;
  }

 private:
  void reset() {
    clear_address();
    phrase_.clear(), local_.clear(), comment_.clear();
    phrase_before_local_ = 0;
    blank_ = false;
    seen_ = false;
  }

  /// Keeps the strings' memory: a mailbox of 100,000 messages has half a million addresses.
  void clear_address() {
    address_.kind = Address::Kind::mailbox;
    address_.display_name.clear(), address_.route.clear(), address_.local_part.clear(), address_.domain.clear();
    address_.from_comment = false;
  }

  void step() {
    const int c = in_.peek();
    if (is_white(static_cast<unsigned char>(c)) || c == 0) {
      in_.skip(1);
      blank_ = true;
    } else if (c == '(') {
      take_comment();
    } else if (c == '"') {
      take_quoted_word();
    } else if (c == '<') {
      in_.skip(1);
      take_angle();
    } else if (c == '@') {
      in_.skip(1);
      take_bare_domain();
    } else if (c == ',') {
      in_.skip(1);
      end_mailbox();
    } else if (c == ';') {
      in_.skip(1);
      end_mailbox();
      if (in_group_) end_group();
    } else if (c == ':') {
      in_.skip(1);
      begin_group();
    } else if (const auto word = take_encoded_word(); !word.empty()) {
      add_word(word);
    } else if (const auto run = in_.take_while(is_word); !run.empty()) {
      add_word(run);
    } else {
      in_.skip(1);  // '>' on its own, a control character
      odd_ = true;
    }
  }

  /// "=?utf-8?Q?Doe, John?=": specials within encoded words are wrong, and common.
  std::string_view take_encoded_word() {
    const auto rest = in_.rest();
    if (!rest.starts_with("=?")) return {};
    const auto charset_end = rest.substr(0, 80).find('?', 2);
    if (charset_end == std::string_view::npos || charset_end + 2 >= rest.size() || rest[charset_end + 2] != '?')
      return {};
    const auto end = rest.substr(0, 1000).find("?=", charset_end + 3);
    if (end == std::string_view::npos) return {};
    const auto word = rest.substr(0, end + 2);
    if (word.find_first_of("<>\"\r\n") != std::string_view::npos) return {};
    in_.skip(word.size());
    return word;
  }

  void add_word(std::string_view word) {
    seen_ = true;
    const bool joins = !blank_ || local_.ends_with('.') || word.starts_with('.');
    if (!joins || local_.empty()) {
      phrase_before_local_ = phrase_.size();
      local_.clear();
    }
    if (blank_ && !phrase_.empty()) phrase_ += ' ';
    phrase_ += word;
    local_ += word;
    blank_ = false;
  }

  /// The content of "..." at the cursor, quotes and backslashes removed; nothing (and nothing taken) where it is not
  /// closed.
  std::optional<std::string> take_quoted() {
    if (quotes_broken_) return std::nullopt;
    const auto start = in_.offset();
    in_.skip(1);
    std::string content;
    while (!in_.at_end()) {
      content += in_.take_while([](unsigned char c) { return c != '"' && c != '\\' && c != '\r' && c != '\n'; });
      const int c = in_.peek();
      in_.skip(1);
      if (c == '"') return content;
      if (c == '\\' && in_.peek() >= 0) {
        content += static_cast<char>(in_.peek());
        in_.skip(1);
      }
    }
    quotes_broken_ = true;  // no need to look for the end again: the search stays linear
    in_.rewind(start);
    return std::nullopt;
  }

  void take_quoted_word() {
    if (auto content = take_quoted()) {
      add_word(*content);
      seen_ = true;
      return;
    }
    in_.skip(1);
    odd_ = true;
  }

  void take_comment() {
    const auto start = in_.offset();
    std::string content;
    int depth = 0;
    while (!comments_broken_ && !in_.at_end()) {
      const int c = in_.peek();
      in_.skip(1);
      if (c == '\\' && in_.peek() >= 0) {
        content += static_cast<char>(in_.peek());
        in_.skip(1);
        continue;
      }
      if (c == ')' && --depth == 0) {
        comment_ = std::string(trim(content));
        return;
      }
      if (depth > 0 && c != '\r' && c != '\n') content += static_cast<char>(c);
      if (c == '(') ++depth;
    }
    comments_broken_ = true;
    in_.rewind(start + 1);
    odd_ = true;
  }

  void skip_blanks_and_comments() {
    for (;;) {
      in_.take_while([](unsigned char c) { return is_white(c) || c == 0; });
      if (in_.peek() != '(') return;
      take_comment();
    }
  }

  void take_domain(std::string& domain) {
    domain.clear();
    for (;;) {
      skip_blanks_and_comments();
      if (in_.peek() == '[') {
        domain += in_.take_while([](unsigned char c) { return c != ']' && c != '\r' && c != '\n'; });
        if (in_.take(']')) domain += ']';
        return;
      }
      const auto run = in_.take_while([](unsigned char c) { return is_word(c); });
      if (run.empty()) return;
      domain += run;
      const auto here = in_.offset();
      skip_blanks_and_comments();
      if (domain.ends_with('.') || in_.peek() == '.') continue;
      if (in_.offset() != here) blank_ = true;
      return;
    }
  }

  void take_angle() {
    address_.display_name = trim(phrase_);
    address_.local_part.clear(), address_.domain.clear();
    skip_blanks_and_comments();
    if (in_.peek() == '@') {  // obs-route
      const auto route = in_.take_while([](unsigned char c) { return c != ':' && c != '>'; });
      if (in_.take(':')) {
        for (const char c : route)
          if (!is_white(static_cast<unsigned char>(c))) address_.route += c;
      } else {
        address_.domain = route.substr(1);
        odd_ = true;
      }
    }
    while (!in_.at_end() && in_.peek() != '>' && in_.peek() != '@') {
      skip_blanks_and_comments();
      if (in_.peek() == '"') {
        if (auto content = take_quoted()) {
          address_.local_part += *content;
          continue;
        }
        in_.skip(1);
      }
      const auto run = in_.take_while([](unsigned char c) { return is_word(c) || c == ':' || c == ';'; });
      address_.local_part += run;
      if (!run.empty()) continue;
      if (in_.peek() == ',' || in_.peek() == '<') break;  // the '>' is missing
      if (in_.at_end() || in_.peek() == '>' || in_.peek() == '@' || in_.peek() == '"') continue;
      in_.skip(1);  // a parenthesis, a control character
      odd_ = true;
    }
    if (in_.take('@')) take_domain(address_.domain);
    // A second '@', or anything else before '>', cannot be made sense of.
    const auto rest = in_.take_while([](unsigned char c) { return c != '>' && c != ',' && c != '<'; });
    if (!trim(rest).empty()) odd_ = true;
    if (!in_.take('>')) odd_ = true;
    have_mailbox_ = true;
    phrase_.clear(), local_.clear();
    // What follows up to the comma belongs to nothing but a comment.
    skip_blanks_and_comments();
    if (!in_.at_end() && in_.peek() != ',' && in_.peek() != ';') {
      odd_ = true;
      end_mailbox();
    }
  }

  void take_bare_domain() {
    if (have_mailbox_) end_mailbox();
    address_.local_part = local_;
    take_domain(address_.domain);
    address_.display_name = trim(std::string_view(phrase_).substr(0, phrase_before_local_));
    skip_blanks_and_comments();
    if (in_.peek() == '<') {  // "ann@example.net <ann@example.net>"
      phrase_ += concat({"@", address_.domain});
      clear_address();
      return;
    }
    have_mailbox_ = true;
    seen_ = true;
    if (!in_.at_end() && in_.peek() != ',' && in_.peek() != ';') {
      odd_ = true;
      end_mailbox();
    }
  }

  void end_mailbox() {
    if (!have_mailbox_ && seen_) {  // no '@' at all: "root", or garbage
      address_.local_part = trim(phrase_);
      have_mailbox_ = !address_.local_part.empty();
    }
    if (have_mailbox_) {
      if (address_.display_name.empty() && !comment_.empty()) {
        address_.display_name = comment_;
        address_.from_comment = true;
      }
      address_.kind = Address::Kind::mailbox;
      visit_(address_);
    }
    have_mailbox_ = false;
    reset();
  }

  void begin_group() {
    const auto name = std::string(trim(phrase_));
    const bool nested = in_group_;
    if (nested) end_group(), odd_ = true;
    reset();
    have_mailbox_ = false;
    in_group_ = true;
    address_.kind = Address::Kind::group_begin;
    address_.display_name = name;
    visit_(address_);
    reset();
  }

  void end_group() {
    reset();
    address_.kind = Address::Kind::group_end;
    visit_(address_);
    reset();
    in_group_ = false;
  }

  Cursor in_;
  const std::function<void(const Address&)>& visit_;
  Address address_;
  std::string phrase_;   // all words so far
  std::string local_;    // the last of them, with those joined to it by dots: the local part if '@' follows
  std::string comment_;  // the last comment
  std::size_t phrase_before_local_ = 0;
  bool blank_ = false;
  bool seen_ = false;
  bool have_mailbox_ = false;
  bool in_group_ = false;
  bool odd_ = false;
  bool quotes_broken_ = false;
  bool comments_broken_ = false;
};

}  // namespace

std::optional<PlainMailbox> take_plain_mailbox(std::string_view& list) {
  const char* at = list.data();
  const char* const end = at + list.size();
  const auto skip_white = [&] {
    while (at < end && is_white(static_cast<unsigned char>(*at))) ++at;
  };
  const auto take_word = [&] {
    const char* const from = at;
    while (at < end && is_word(static_cast<unsigned char>(*at))) ++at;
    return std::string_view(from, at);
  };
  PlainMailbox out;
  bool angle = false;
  skip_white();
  const char* const from = at;
  if (at < end && *at == '"') {
    do ++at;
    while (at < end && *at != '"' && *at != '\\' && *at != '\r' && *at != '\n');
    if (at == end || *at != '"') return std::nullopt;
    out.display_name = trim({from + 1, at});
    ++at;
    if (at < end && *at == ' ') ++at;
    angle = true;
  } else if (at < end && *at == '<') {
    angle = true;
  } else {
    out.local_part = take_word();
    if (out.local_part.empty()) return std::nullopt;
    angle = at < end && *at != '@';
    while (at < end && *at == ' ') {  // more words of a phrase; two blanks would become one
      ++at;
      if (take_word().empty()) break;
    }
    if (angle) out.display_name = trim({from, at});
    if (!angle && out.local_part.starts_with("=?")) return std::nullopt;
  }
  if (angle) {
    if (at == end || *at != '<') return std::nullopt;
    ++at;
    out.local_part = take_word();
  }
  if (out.local_part.empty() || at == end || *at != '@') return std::nullopt;
  ++at;
  if (at < end && *at == '[') return std::nullopt;
  out.domain = take_word();
  if (out.domain.empty()) return std::nullopt;
  if (angle) {
    if (at == end || *at != '>') return std::nullopt;
    ++at;
  }
  skip_white();
  if (at < end && *at != ',') return std::nullopt;
  list = {at < end ? at + 1 : at, end};
  return out;
}

bool for_each_address(std::string_view value, const std::function<void(const Address&)>& visit) {
  std::optional<Address> address;  // its strings' memory serves for the next one
  while (const auto plain = take_plain_mailbox(value)) {
    if (!address) address.emplace();
    address->display_name = plain->display_name;
    address->local_part = plain->local_part;
    address->domain = plain->domain;
    visit(*address);
  }
  return trim(value).empty() || AddressParser(value, visit).run();
}

std::vector<Address> parse_addresses(std::string_view value) {
  std::vector<Address> out;
  for_each_address(value, [&](const Address& address) { out.push_back(address); });
  return out;
}

std::vector<Address> parse_mailboxes(std::string_view value) {
  std::vector<Address> out;
  for_each_address(value, [&](const Address& address) {
    if (address.kind == Address::Kind::mailbox) out.push_back(address);
  });
  return out;
}

std::optional<Address> parse_mailbox(std::string_view text) {
  std::vector<Address> found;
  const bool clean = for_each_address(text, [&](const Address& address) { found.push_back(address); });
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (!clean || found.size() != 1 || found.front().kind != Address::Kind::mailbox ||
      std::ranges::any_of(text, is_control))
    return std::nullopt;
  auto& address = found.front();
  if (address.local_part.empty() || address.domain.empty() || !address.route.empty()) return std::nullopt;
  const auto printed = addr_spec(address);  // leaves out of a domain what would break a path: then it is none
  if (!printed.ends_with("@" + address.domain) || validate_addr_spec(printed) != AddressValidity::smtp)
    return std::nullopt;
  return address;
}

namespace {

bool is_atext(unsigned char c) {
  return is_alnum(c) || c >= 0x80 ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(static_cast<char>(c)) != std::string_view::npos;
}

bool is_dot_atom(std::string_view text) {
  bool after_dot = true;
  for (const char c : text) {
    if (c == '.' ? after_dot : !is_atext(static_cast<unsigned char>(c))) return false;
    after_dot = c == '.';
  }
  return !after_dot;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
  }
  return out + "\"";
}

}  // namespace

std::string addr_spec(const Address& address) {
  auto out = is_dot_atom(address.local_part) ? address.local_part : quoted(address.local_part);
  if (address.domain.empty()) return out;
  out += '@';
  for (const char c : address.domain)
    if (static_cast<unsigned char>(c) > ' ' && c != '<' && c != '>') out += c;
  return out;
}

std::string to_header(const Address& address) {
  if (address.display_name.empty()) return addr_spec(address);
  return concat({encode_phrase(address.display_name), " <", addr_spec(address), ">"});
}

std::string to_display(const Address& address) {
  if (address.kind == Address::Kind::group_end) return ";";
  const auto name = decode_header_text(address.display_name);
  if (address.kind == Address::Kind::group_begin) return name + ":";
  return name.empty() ? addr_spec(address) : concat({name, " <", addr_spec(address), ">"});
}

std::string to_header(const std::vector<Address>& addresses, std::size_t column) {
  constexpr std::size_t kMostColumns = 78;
  std::string out;
  bool separate = false;  // a comma is due before the next mailbox
  for (const auto& address : addresses) {
    std::string text;
    if (address.kind == Address::Kind::group_end) {
      out += ';';
      separate = true;
      continue;
    }
    text = address.kind == Address::Kind::group_begin ? encode_phrase(address.display_name) + ":" : to_header(address);
    if (separate) out += ',', ++column;
    const auto first_line = text.substr(0, text.find('\r')).size();
    if (!out.empty()) {
      const bool fold = column + 1 + first_line > kMostColumns;
      out += fold ? "\r\n " : " ";
      column = fold ? 1 : column + 1;
    }
    out += text;
    const auto last = text.rfind('\n');
    column = last == std::string::npos ? column + text.size() : text.size() - last - 1;
    separate = address.kind == Address::Kind::mailbox;
  }
  return out;
}

}  // namespace mail::message
