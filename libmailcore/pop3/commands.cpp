#include "pop3/commands.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/strings.h"

namespace mail::pop3 {

/// The functions of the rows: the one friend of the session.
struct Commands {
  using Session = ServerSession;

  // RFC 1939 sections 4-6: the commands every server has.
  static void quit(Session& s, const Arguments&) {
    if (s.maildrop_ == nullptr || s.deleted_count_ == 0) {
      s.reply_text(Text::bye);
      return s.close();
    }
    Remove removal;
    removal.indices.reserve(s.deleted_count_);
    for (std::size_t i = 0; i < s.deleted_.size(); ++i)
      if (s.deleted_[i]) removal.indices.push_back(i);
    s.state_ = Session::State::update;
    s.await(std::move(removal));
  }
  static std::string scan(const Session& s, std::size_t index) {
    return concat({decimal(index + 1), " ", decimal(s.maildrop_->octets(index))});
  }
  static void stat(Session& s, const Arguments&) {
    s.reply(true, concat({decimal(s.maildrop_->count() - s.deleted_count_), " ",
                          decimal(s.maildrop_->total_octets() - s.deleted_octets_)}));
  }
  static void list(Session& s, const Arguments& a) {
    if (a.index) return s.reply(true, scan(s, *a.index));
    s.reply(true, concat({decimal(s.maildrop_->count() - s.deleted_count_), " ", text(s.language_, Text::messages),
                          " (", decimal(s.maildrop_->total_octets() - s.deleted_octets_), " ",
                          text(s.language_, Text::octets), ")"}));
    s.listing_ = Session::Listing{.unique_ids = false, .next = 0};
  }
  static void retr(Session& s, const Arguments& a) {
    s.retrieving_ = *a.index;
    s.top_lines_ = MessageWriter::kWhole;
    s.await(Retrieve{*a.index});
  }
  static void dele(Session& s, const Arguments& a) {
    if (s.deleted_.empty()) s.deleted_.resize(s.maildrop_->count());
    s.deleted_[*a.index] = true;
    ++s.deleted_count_;
    s.deleted_octets_ += s.maildrop_->octets(*a.index);
    s.reply_text(Text::deleted);
  }
  static void noop(Session& s, const Arguments&) { s.reply_text(Text::nothing_done); }
  static void rset(Session& s, const Arguments&) {
    s.deleted_.clear();
    s.deleted_count_ = 0;
    s.deleted_octets_ = 0;
    s.reply_text(Text::reset);
  }

  // RFC 1939 section 7: the optional ones.
  static void top(Session& s, const Arguments& a) {
    s.retrieving_ = *a.index;
    s.top_lines_ = a.lines;
    s.await(Retrieve{*a.index, a.lines == MessageWriter::kWhole});
  }
  static void uidl(Session& s, const Arguments& a) {
    if (a.index) return s.reply(true, concat({decimal(*a.index + 1), " ", s.maildrop_->unique_id(*a.index)}));
    s.reply_text(Text::unique_ids);
    s.listing_ = Session::Listing{.unique_ids = true, .next = 0};
  }
  static void user(Session& s, const Arguments& a) {
    if (!s.plaintext_allowed()) return s.error(Text::need_tls, "AUTH");
    if (!is_utf8(a.words)) return s.error(Text::bad_octets);
    s.user_ = trim(a.words);  // whether there is such a user is never told (RFC 1939 section 7 allows that)
    s.reply_text(Text::send_password);
  }
  static void pass(Session& s, const Arguments& a) {
    if (!s.plaintext_allowed()) return s.error(Text::need_tls, "AUTH");
    if (s.user_.empty()) return s.error(Text::user_first);
    if (!is_utf8(a.words)) return s.error(Text::bad_octets);
    s.argument_ = std::exchange(s.user_, {});
    s.secret_ = a.words;
    s.await(CheckPassword{s.argument_, s.secret_});
  }
  static void apop(Session& s, const Arguments& a) {
    if (s.options_.apop_timestamp.empty()) return s.error(Text::unknown_command);
    const auto blank = a.words.rfind(' ');
    if (blank == std::string_view::npos || blank == 0) return s.error(Text::bad_arguments);
    const auto digest = a.words.substr(blank + 1);
    const auto is_hex = [](char c) { return is_digit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f'); };
    if (digest.size() != 32 || !std::ranges::all_of(digest, is_hex)) return s.error(Text::bad_arguments);
    s.argument_ = a.words.substr(0, blank);
    s.secret_ = digest;
    s.await(CheckApop{s.argument_, s.options_.apop_timestamp, s.secret_});
  }

  // RFC 2449.
  static void capa(Session& s, const Arguments&) {
    s.reply_text(Text::capabilities);
    for (const Command& command : commands()) {
      if (command.capability == nullptr) continue;
      if (const std::string line = command.capability(s); !line.empty()) s.output_ += concat({line, "\r\n"});
    }
    s.output_ += concat({"EXPIRE ", s.options_.expire_days ? decimal(*s.options_.expire_days) : "NEVER", "\r\n"});
    if (s.options_.login_delay_seconds != 0)
      s.output_ += concat({"LOGIN-DELAY ", decimal(s.options_.login_delay_seconds), "\r\n"});
    s.output_ += concat(
        {"PIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nIMPLEMENTATION ", s.options_.implementation, "\r\n.\r\n"});
  }

  // RFC 2595 section 4.
  static void stls(Session& s, const Arguments&) {
    if (!s.options_.tls_available || s.options_.tls_active) return s.error(Text::no_tls);
    if (s.utf8_) return s.error(Text::after_utf8);
    s.reply_text(Text::begin_tls);
    s.await(BeginTls{});
  }
  static std::string can_stls(const Session& s) {
    const bool offered =
        s.options_.tls_available && !s.options_.tls_active && s.state_ == Session::State::authorization;
    return offered ? "STLS" : "";
  }

  // RFC 5034.
  static void auth(Session& s, const Arguments& a) {
    const auto [name, initial] = split_once(trim(a.words), ' ');
    if (name.empty()) {  // no RFC: old clients ask for the list so (Outlook), and servers give it
      s.reply_text(Text::capabilities);
      for (const std::string& mechanism : s.mechanisms()) s.output_ += concat({mechanism, "\r\n"});
      s.output_ += ".\r\n";
      return;
    }
    const auto found =
        std::ranges::find_if(s.mechanisms(), [&, wanted = name](const std::string& m) { return iequals(m, wanted); });
    if (found == s.mechanisms().end()) {
      const bool later = std::ranges::any_of(s.options_.tls_mechanisms,
                                             [wanted = name](const std::string& m) { return iequals(m, wanted); });
      return s.error(later && !s.options_.tls_active ? Text::need_tls : Text::unknown_mechanism, later ? "AUTH" : "");
    }
    s.argument_.clear();
    BeginSasl begin{.mechanism = *found, .initial_response = {}};
    if (!initial.empty()) {
      auto decoded = initial == "=" ? std::optional<std::string>("") : from_base64(initial);
      if (!decoded) return s.error(Text::bad_base64);
      s.argument_ = std::move(*decoded);
      begin.initial_response = s.argument_;
    }
    s.await(begin);
  }
  static std::string can_auth(const Session& s) {
    return s.mechanisms().empty() ? "" : concat({"SASL ", join(s.mechanisms(), " ")});
  }

  // RFC 6856.
  static void utf8(Session& s, const Arguments&) {
    s.utf8_ = true;
    s.reply_text(Text::utf8_on);
  }
  static void lang(Session& s, const Arguments& a) {
    if (a.words.empty()) {
      s.reply_text(Text::languages);
      for (const Language language : kLanguages)
        s.output_ += concat({language_tag(language), " ", language_name(language), "\r\n"});
      s.output_ += ".\r\n";
      return;
    }
    const auto language = find_language(a.words);
    if (!language) return s.error(Text::unknown_language);
    s.language_ = *language;
    s.reply(true, concat({language_tag(*language), " ", text(*language, Text::language_changed)}));
  }

  static std::string can_user(const Session& s) { return s.plaintext_allowed() ? "USER" : ""; }
};

namespace {

std::string is_top(const ServerSession&) { return "TOP"; }
std::string is_uidl(const ServerSession&) { return "UIDL"; }
/// USER: names and passwords may be UTF-8 (RFC 6856 section 2.2).
std::string is_utf8_user(const ServerSession&) { return "UTF8 USER"; }
std::string is_lang(const ServerSession&) { return "LANG"; }

constexpr unsigned kBoth = kAuthorization | kTransaction;
constexpr std::array kCommands{
    Command{"APOP", kAuthorization, Grammar::text, Commands::apop},
    Command{"AUTH", kAuthorization, Grammar::optional_words, Commands::auth, Commands::can_auth},
    Command{"CAPA", kBoth, Grammar::none, Commands::capa},
    Command{"DELE", kTransaction, Grammar::message, Commands::dele},
    Command{"LANG", kBoth, Grammar::optional_word, Commands::lang, is_lang},
    Command{"LIST", kTransaction, Grammar::optional_message, Commands::list},
    Command{"NOOP", kTransaction, Grammar::none, Commands::noop},
    Command{"PASS", kAuthorization, Grammar::text, Commands::pass},
    Command{"QUIT", kBoth, Grammar::none, Commands::quit},
    Command{"RETR", kTransaction, Grammar::message, Commands::retr},
    Command{"RSET", kTransaction, Grammar::none, Commands::rset},
    Command{"STAT", kTransaction, Grammar::none, Commands::stat},
    Command{"STLS", kAuthorization, Grammar::none, Commands::stls, Commands::can_stls},
    Command{"TOP", kTransaction, Grammar::message_and_lines, Commands::top, is_top},
    Command{"UIDL", kTransaction, Grammar::optional_message, Commands::uidl, is_uidl},
    Command{"USER", kAuthorization, Grammar::text, Commands::user, Commands::can_user},
    Command{"UTF8", kAuthorization, Grammar::none, Commands::utf8, is_utf8_user},
};
static_assert(std::ranges::is_sorted(kCommands, {}, &Command::keyword));

}  // namespace

std::span<const Command> commands() { return kCommands; }

const Command* find_command(std::string_view keyword) {
  const auto found = std::ranges::find_if(kCommands, [&](const Command& c) { return iequals(c.keyword, keyword); });
  return found == kCommands.end() ? nullptr : &*found;
}

}  // namespace mail::pop3
