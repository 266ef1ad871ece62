// Mail on an IMAP server, by imap::ClientSession over a connection of our own.
#include <algorithm>
#include <functional>

#include "base/mutf7.h"
#include "base/strings.h"
#include "imap/client_session.h"
#include "message/date.h"
#include "message/thread.h"
#include "mua/source.h"

namespace mail::mua {

namespace {

using imap::ClientCommand;
using imap::StatusText;
using imap::Value;

/// RFC 9051 names for what people call it.
std::string imap_flag(std::string_view flag) {
  static constexpr std::array<std::string_view, 5> kSystem{"seen", "answered", "flagged", "deleted", "draft"};
  for (const auto name : kSystem)
    if (iequals(name, flag)) return concat({"\\", std::string(1, ascii_upper(name.front())), name.substr(1)});
  return std::string(flag);
}

bool is_flag_atom(std::string_view flag) {
  return !flag.empty() && std::ranges::all_of(flag, [](char c) {
    return c > ' ' && c < 0x7F && std::string_view("(){%*\"\\]").find(c) == std::string_view::npos;
  });
}

std::string id_list(const std::vector<std::uint32_t>& ids) {
  std::string out;
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t last = i;
    while (last + 1 < ids.size() && ids[last + 1] == ids[last] + 1) ++last;
    if (!out.empty()) out += ',';
    out += decimal(ids[i]);
    if (last > i) out += ":" + decimal(ids[last]);
    i = last + 1;
  }
  return out;
}

class ImapSource final : public Source {
 public:
  ImapSource(Login login, net::BlockingTransport transport)
      : login_(std::move(login)), transport_(std::move(transport)) {}
  ~ImapSource() override {
    if (logged_in_) (void)run(ClientCommand("LOGOUT"));
  }
  ImapSource(const ImapSource&) = delete;
  ImapSource& operator=(const ImapSource&) = delete;

  Status log_in() {
    MAIL_TRY(greeting, await_greeting());
    if (!greeting.ok()) return fail(Error::Kind::temporary, concat({login_.url.host, ": ", greeting.text}));
    if (session_.capabilities().empty()) MAIL_CHECK(run(ClientCommand("CAPABILITY")));
    if (login_.url.tls == Url::Tls::starttls) {
      if (!session_.has("STARTTLS") || greeting.condition == "PREAUTH")
        return fail(Error::Kind::refused, concat({login_.url.host, " offers no STARTTLS: nothing was sent"}));
      MAIL_CHECK(run(ClientCommand("STARTTLS")));
      MAIL_CHECK(start_tls(transport_, login_));
      session_.tls_started();
      MAIL_CHECK(run(ClientCommand("CAPABILITY")));
    }
    if (greeting.condition != "PREAUTH") MAIL_CHECK(authenticate());
    logged_in_ = true;
    if (session_.capabilities().empty()) MAIL_CHECK(run(ClientCommand("CAPABILITY")));
    return {};
  }

  Result<std::vector<Folder>> folders(bool with_counts) override {
    std::vector<Folder> out;
    MAIL_CHECK(run(ClientCommand("LIST \"\" \"*\""), [&](const std::vector<Value>& values) {
      if (values.size() < 4 || !values[0].is("LIST")) return;
      Folder folder;
      folder.name = from_mutf7(values[3].text).value_or(values[3].text);
      for (const auto& attribute : values[1].items) {
        if (attribute.is("\\Noselect") || attribute.is("\\NonExistent")) folder.selectable = false;
        for (const std::string_view use :
             {"\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash", "\\Important"})
          if (attribute.is(use)) folder.special_use = use;
      }
      out.push_back(std::move(folder));
    }));
    MAIL_CHECK(run(ClientCommand("LSUB \"\" \"*\""), [&](const std::vector<Value>& values) {
      if (values.size() < 4 || !values[0].is("LSUB")) return;
      for (auto& folder : out)
        if (folder.name == from_mutf7(values[3].text).value_or(values[3].text)) folder.subscribed = true;
    }));
    for (auto& folder : out) {
      if (!with_counts || !folder.selectable) continue;
      MAIL_CHECK(run(ClientCommand("STATUS ").mailbox(folder.name).text(" (MESSAGES UNSEEN)"),
                     [&](const std::vector<Value>& values) {
                       if (values.size() < 3 || !values[0].is("STATUS")) return;
                       const auto& items = values[2].items;
                       for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
                         if (items[i].is("MESSAGES"))
                           folder.messages = static_cast<std::uint32_t>(items[i + 1].number().value_or(0));
                         if (items[i].is("UNSEEN"))
                           folder.unseen = static_cast<std::uint32_t>(items[i + 1].number().value_or(0));
                       }
                     }));
    }
    std::ranges::sort(out, {}, [](const Folder& f) { return std::pair(f.name != "INBOX", f.name); });
    return out;
  }

  Status open(const std::string& folder, bool read_only) override {
    return run(ClientCommand(read_only ? "EXAMINE " : "SELECT ").mailbox(folder));
  }

  Result<std::vector<std::uint32_t>> ids() override { return search_ids(ClientCommand("UID SEARCH ALL")); }

  Result<std::vector<Item>> items(const std::vector<std::uint32_t>& ids) override {
    std::vector<Item> out;
    if (ids.empty()) return out;
    MAIL_CHECK(
        run(ClientCommand(concat({"UID FETCH ", id_list(ids), " (UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE)"})),
            [&](const std::vector<Value>& values) {
              if (values.size() == 3 && values[1].is("FETCH")) add_item(values[2].items, out);
            }));
    std::ranges::sort(out, {}, &Item::id);
    return out;
  }

  Result<std::string> fetch(std::uint32_t id) override {
    std::optional<std::string> found;
    MAIL_CHECK(run(ClientCommand(concat({"UID FETCH ", decimal(id), " (UID BODY.PEEK[])"})),
                   [&](const std::vector<Value>& values) {
                     if (values.size() != 3 || !values[1].is("FETCH")) return;
                     const auto& pairs = values[2].items;
                     for (std::size_t i = 0; i + 1 < pairs.size(); i += 2)
                       if (pairs[i].is("BODY[]")) found = pairs[i + 1].text;
                   }));
    if (!found) return fail(Error::Kind::not_found, concat({"there is no message ", decimal(id)}));
    return *found;
  }

  Result<std::vector<std::uint32_t>> search(const Query& query) override {
    ClientCommand command("UID SEARCH CHARSET UTF-8");
    const auto keys = [&](std::string_view name, const std::vector<std::string>& values) {
      for (const auto& value : values) command.text(concat({" ", name, " "})).string(value);
    };
    keys("TEXT", query.text);
    keys("BODY", query.body);
    keys("SUBJECT", query.subject);
    keys("FROM", query.from);
    keys("TO", query.to);
    const auto day = [](std::chrono::sys_days days) {
      const auto text = message::format_internal_date({days, {}}).substr(0, 11);
      return text.starts_with('0') ? text.substr(1) : text;
    };
    if (query.since) command.text(" SENTSINCE " + day(*query.since));
    if (query.before) command.text(" SENTBEFORE " + day(*query.before));
    if (query.larger) command.text(" LARGER " + decimal(*query.larger));
    if (query.smaller) command.text(" SMALLER " + decimal(*query.smaller));
    for (const auto& [flags, negate] : {std::pair{&query.with_flags, false}, std::pair{&query.without_flags, true}})
      for (const auto& flag : *flags) {
        const auto name = imap_flag(flag);
        if (!name.starts_with('\\') && !is_flag_atom(name))
          return fail(Error::Kind::syntax, concat({"\"", flag, "\" cannot be a flag"}));
        command.text(negate ? " NOT " : " ")
            .text(name.starts_with('\\') ? to_upper(name.substr(1)) : "KEYWORD " + name);
      }
    if (query.text.empty() && query.body.empty() && query.subject.empty() && query.from.empty() && query.to.empty())
      command.text(" ALL");
    return search_ids(command);
  }

  Status flag(const std::vector<std::uint32_t>& ids, const std::vector<std::string>& add,
              const std::vector<std::string>& remove) override {
    for (const auto& [flags, sign] : {std::pair{&add, "+"}, std::pair{&remove, "-"}}) {
      if (flags->empty() || ids.empty()) continue;
      std::string list;
      for (const auto& flag : *flags) {
        const auto name = imap_flag(flag);
        if (!name.starts_with('\\') && !is_flag_atom(name))
          return fail(Error::Kind::syntax, concat({"\"", flag, "\" cannot be a flag"}));
        list += concat({list.empty() ? "" : " ", name});
      }
      MAIL_CHECK(run(ClientCommand(concat({"UID STORE ", id_list(ids), " ", sign, "FLAGS.SILENT (", list, ")"}))));
    }
    return {};
  }

  Status copy(const std::vector<std::uint32_t>& ids, const std::string& folder) override {
    return ids.empty() ? Status() : run(ClientCommand(concat({"UID COPY ", id_list(ids), " "})).mailbox(folder));
  }

  Status move(const std::vector<std::uint32_t>& ids, const std::string& folder) override {
    if (ids.empty()) return {};
    if (session_.has("MOVE")) return run(ClientCommand(concat({"UID MOVE ", id_list(ids), " "})).mailbox(folder));
    MAIL_CHECK(copy(ids, folder));
    return remove(ids);
  }

  Status remove(const std::vector<std::uint32_t>& ids) override {
    if (ids.empty()) return {};
    MAIL_CHECK(flag(ids, {"deleted"}, {}));
    // Without UIDPLUS an EXPUNGE would take others' deleted messages along: they are left marked.
    if (!session_.has("UIDPLUS")) return {};
    return run(ClientCommand("UID EXPUNGE " + id_list(ids)));
  }

  Status append(const std::string& folder, std::string_view message, const std::vector<std::string>& flags) override {
    std::string list;
    for (const auto& flag : flags) list += concat({list.empty() ? "" : " ", imap_flag(flag)});
    return run(ClientCommand("APPEND ").mailbox(folder).text(concat({" (", list, ") "})).literal(message));
  }

  Status wait_for_change() override {
    if (!session_.has("IDLE")) return fail(Error::Kind::permanent, concat({login_.url.host, " offers no IDLE"}));
    watching_ = true;
    // RFC 2177: ended and begun anew well before the half hour after which servers hang up.
    transport_.set_timeout(std::chrono::minutes(25));
    const auto result = run(ClientCommand("IDLE"));
    watching_ = false;
    return result;
  }

 private:
  using OnUntagged = std::function<void(const std::vector<Value>&)>;

  /// The next event that is not output.
  Result<imap::ClientEvent> event() {
    for (;;) {
      while (auto event = session_.next()) {
        if (const auto* send = std::get_if<imap::client::SendOctets>(&*event)) {
          MAIL_CHECK(transport_.write_all(send->octets));
          continue;
        }
        if (const auto* broken = std::get_if<imap::client::Broken>(&*event))
          return fail(Error::Kind::temporary, concat({login_.url.host, ": ", broken->why}));
        return std::move(*event);
      }
      auto read = transport_.read_some();
      if (!read) {
        logged_in_ = false;  // no LOGOUT to a server that does not answer
        return tl::unexpected(std::move(read).error());
      }
      const auto& octets = *read;
      if (octets.empty())
        return fail(Error::Kind::temporary,
                    concat({login_.url.host, " closed the connection", last_bye_.empty() ? "" : ": ", last_bye_}));
      session_.receive(octets);
    }
  }

  Result<StatusText> await_greeting() {
    for (;;) {
      MAIL_TRY(next, event());
      if (auto* greeting = std::get_if<imap::client::Greeting>(&next)) return greeting->status;
    }
  }

  Status to_status(const StatusText& status) const {
    if (status.ok()) return {};
    auto kind = Error::Kind::permanent;
    if (status.code == "UNAVAILABLE" || status.code == "INUSE" || status.code == "SERVERBUG")
      kind = Error::Kind::temporary;
    if (status.code == "AUTHENTICATIONFAILED" || status.code == "NOPERM" || status.code == "OVERQUOTA")
      kind = Error::Kind::refused;
    if (status.code == "NONEXISTENT" || status.code == "TRYCREATE") kind = Error::Kind::not_found;
    return fail(kind, concat({login_.url.host, ": ", status.text.empty() ? status.condition : status.text}));
  }

  /// One command to its completion.
  Status run(const ClientCommand& command, const OnUntagged& on_untagged = {}) {
    session_.command(command);
    bool idling = false, missed = false;
    for (;;) {
      MAIL_TRY(next, event());
      if (const auto* untagged = std::get_if<imap::client::Untagged>(&next)) {
        if (on_untagged) on_untagged(untagged->values);
        const bool news =
            untagged->values.size() == 2 && (untagged->values[1].is("EXISTS") || untagged->values[1].is("EXPUNGE"));
        if (idling && news) {
          session_.respond("DONE");
          idling = false;
        }
        missed = missed || (!idling && news);
      } else if (const auto* status = std::get_if<imap::client::UntaggedStatus>(&next)) {
        if (status->status.condition == "BYE") last_bye_ = status->status.text;
      } else if (const auto* continuation = std::get_if<imap::client::Continuation>(&next)) {
        if (watching_) {
          idling = !missed;
          if (missed) session_.respond("DONE");  // it came while IDLE was on its way
        } else {
          MAIL_CHECK(answer_challenge(continuation->text));
        }
      } else if (const auto* completed = std::get_if<imap::client::Completed>(&next)) {
        return to_status(completed->status);
      }
    }
  }

  Status answer_challenge(std::string_view text) {
    const auto challenge = from_base64(text);
    if (exchange_ == nullptr || !challenge) {
      session_.respond("*");
      return {};
    }
    // Without SASL-IR the first challenge is empty and asks for the initial response.
    if (auto initial = initial_sent_ ? std::nullopt : exchange_->initial_response()) {
      initial_sent_ = true;
      session_.respond(to_base64(*initial));
      return {};
    }
    initial_sent_ = true;
    const auto response = exchange_->step(*challenge);
    session_.respond(response ? to_base64(*response) : "*");
    if (!response) return tl::unexpected(response.error());
    return {};
  }

  Status authenticate() {
    std::vector<std::string> mechanisms;
    for (const auto& capability : session_.capabilities())
      if (capability.starts_with("AUTH=")) mechanisms.push_back(capability.substr(5));
    if (mechanisms.empty() && !session_.has("LOGINDISABLED")) {
      MAIL_TRY(password, read_secret(login_.password));
      session_.forget_capabilities();
      return run(ClientCommand("LOGIN ").string(login_.url.user).text(" ").string(password.text()));
    }
    MAIL_TRY(exchange, begin_login(login_, transport_, mechanisms));
    exchange_ = std::move(exchange);
    ClientCommand command(concat({"AUTHENTICATE ", exchange_->mechanism()}));
    initial_sent_ = false;
    if (session_.has("SASL-IR")) {
      if (const auto initial = exchange_->initial_response())
        command.text(" ").text(initial->empty() ? "=" : to_base64(*initial));
      initial_sent_ = true;
    }
    session_.forget_capabilities();
    MAIL_CHECK(run(command));
    return exchange_->succeeded();
  }

  Result<std::vector<std::uint32_t>> search_ids(const ClientCommand& command) {
    std::vector<std::uint32_t> out;
    MAIL_CHECK(run(command, [&](const std::vector<Value>& values) {
      if (values.empty() || !values[0].is("SEARCH")) return;
      for (const auto& value : values)
        if (const auto number = value.number()) out.push_back(static_cast<std::uint32_t>(*number));
    }));
    std::ranges::sort(out);
    return out;
  }

  static void add_item(const std::vector<Value>& pairs, std::vector<Item>& to) {
    Item item;
    std::optional<message::DateTime> internal;
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      const auto& value = pairs[i + 1];
      if (pairs[i].is("UID")) item.id = static_cast<std::uint32_t>(value.number().value_or(0));
      if (pairs[i].is("RFC822.SIZE")) item.octets = value.number().value_or(0);
      if (pairs[i].is("INTERNALDATE")) internal = message::parse_internal_date(value.text);
      if (pairs[i].is("FLAGS"))
        for (const auto& flag : value.items)
          item.flags.push_back(flag.text.starts_with('\\') ? to_lower(std::string_view(flag.text).substr(1))
                                                           : flag.text);
      if (pairs[i].is("ENVELOPE")) (void)fill_from_envelope(item, value);
    }
    if (!item.date) item.date = internal;
    if (item.id != 0) to.push_back(std::move(item));
  }

  Login login_;
  net::BlockingTransport transport_;
  imap::ClientSession session_;
  std::unique_ptr<sasl::ClientExchange> exchange_;
  bool watching_ = false;  // an IDLE is running
  std::string last_bye_;
  bool initial_sent_ = false;
  bool logged_in_ = false;
};

}  // namespace

Result<std::unique_ptr<Source>> open_imap(const Login& login) {
  MAIL_TRY(transport, connect(login));
  auto source = std::make_unique<ImapSource>(login, std::move(transport));
  MAIL_CHECK(source->log_in());
  return source;
}

}  // namespace mail::mua
