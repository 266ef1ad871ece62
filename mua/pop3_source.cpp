// Mail on a POP3 server: one folder, no flags; deletes take effect at the orderly end.
#include <algorithm>

#include "base/strings.h"
#include "mua/source.h"
#include "pop3/client_session.h"

namespace mail::mua {

namespace {

using pop3::client::Reply;

Status unsupported(std::string_view what) { return fail(Error::Kind::permanent, concat({"POP3 knows no ", what})); }

class Pop3Source final : public Source {
 public:
  Pop3Source(Login login, net::BlockingTransport transport)
      : login_(std::move(login)), transport_(std::move(transport)) {}
  ~Pop3Source() override {
    if (logged_in_) (void)run("QUIT");
  }
  Pop3Source(const Pop3Source&) = delete;
  Pop3Source& operator=(const Pop3Source&) = delete;

  Status log_in() {
    MAIL_TRY(greeting, reply());
    MAIL_CHECK(to_status(greeting));
    auto capabilities = capabilities_now();
    if (login_.url.tls == Url::Tls::starttls) {
      if (std::ranges::find(capabilities, "STLS") == capabilities.end())
        return fail(Error::Kind::refused, concat({login_.url.host, " offers no STLS: nothing was sent"}));
      MAIL_CHECK(run("STLS"));
      MAIL_CHECK(start_tls(transport_, login_));
      session_.tls_started();
      capabilities = capabilities_now();
    }
    std::vector<std::string> mechanisms;
    for (const auto& line : capabilities)
      if (line.starts_with("SASL "))
        for (const auto word : split_words(std::string_view(line).substr(5))) mechanisms.emplace_back(word);
    MAIL_CHECK(mechanisms.empty() ? user_and_pass() : authenticate(mechanisms));
    logged_in_ = true;
    return {};
  }

  Result<std::vector<Folder>> folders(bool with_counts) override {
    Folder inbox;
    inbox.name = "INBOX";
    if (with_counts) {
      MAIL_TRY(all, ids());
      inbox.messages = static_cast<std::uint32_t>(all.size());
    }
    return std::vector<Folder>{inbox};
  }

  Status open(const std::string& folder, bool) override {
    return iequals(folder, "INBOX") ? Status() : fail(Error::Kind::not_found, "POP3 has no folder but INBOX");
  }

  Result<std::vector<std::uint32_t>> ids() override {
    MAIL_TRY(list, sizes());
    std::vector<std::uint32_t> out;
    for (const auto& [id, octets] : list) out.push_back(id);
    return out;
  }

  Result<std::vector<Item>> items(const std::vector<std::uint32_t>& ids) override {
    MAIL_TRY(list, sizes());
    std::vector<Item> out;
    for (const auto& [id, octets] : list) {
      if (!std::ranges::binary_search(ids, id)) continue;
      MAIL_TRY(header, run(concat({"TOP ", decimal(id), " 0"}), true));
      auto item = item_from_header(header.body);
      item.id = id;
      item.octets = octets;
      out.push_back(std::move(item));
    }
    return out;
  }

  Result<std::string> fetch(std::uint32_t id) override {
    MAIL_TRY(message, run(concat({"RETR ", decimal(id)}), true));
    return message.body;
  }

  Result<std::vector<std::uint32_t>> search(const Query& query) override {
    MAIL_TRY(all, ids());
    MAIL_TRY(list, items(all));
    std::vector<std::uint32_t> found;
    for (const auto& item : list) {
      std::string content;
      if (!query.text.empty() || !query.body.empty()) {
        MAIL_TRY(message, fetch(item.id));
        content = std::move(message);
      }
      if (matches(query, item, content)) found.push_back(item.id);
    }
    return found;
  }

  Status flag(const std::vector<std::uint32_t>&, const std::vector<std::string>&,
              const std::vector<std::string>&) override {
    return unsupported("flags");
  }
  Status copy(const std::vector<std::uint32_t>&, const std::string&) override { return unsupported("folders"); }
  Status move(const std::vector<std::uint32_t>&, const std::string&) override { return unsupported("folders"); }
  Status append(const std::string&, std::string_view, const std::vector<std::string>&) override {
    return unsupported("way to store messages");
  }

  Status remove(const std::vector<std::uint32_t>& ids) override {
    for (const auto id : ids) MAIL_CHECK(run(concat({"DELE ", decimal(id)})));
    // The server deletes at QUIT, and its answer tells whether it did.
    logged_in_ = false;
    MAIL_TRY(done, run("QUIT"));
    (void)done;
    return {};
  }

 private:
  Result<Reply> reply() {
    for (;;) {
      while (auto event = session_.next()) {
        if (const auto* send = std::get_if<pop3::client::SendOctets>(&*event))
          MAIL_CHECK(transport_.write_all(send->octets));
        if (const auto* broken = std::get_if<pop3::client::Broken>(&*event))
          return fail(Error::Kind::temporary, concat({login_.url.host, ": ", broken->why}));
        if (const auto* continuation = std::get_if<pop3::client::Continuation>(&*event))
          MAIL_CHECK(answer_challenge(continuation->text));
        if (auto* got = std::get_if<Reply>(&*event)) return std::move(*got);
      }
      MAIL_TRY(octets, transport_.read_some());
      if (octets.empty()) return fail(Error::Kind::temporary, concat({login_.url.host, " closed the connection"}));
      session_.receive(octets);
    }
  }

  Status to_status(const Reply& reply) const {
    if (reply.ok) return {};
    auto kind = Error::Kind::permanent;
    if (reply.text.starts_with("[SYS/TEMP]") || reply.text.starts_with("[IN-USE]") ||
        reply.text.starts_with("[LOGIN-DELAY]"))
      kind = Error::Kind::temporary;
    if (reply.text.starts_with("[AUTH]")) kind = Error::Kind::refused;
    return fail(kind, concat({login_.url.host, ": ", reply.text}));
  }

  Result<Reply> run(std::string_view command, bool multi_line = false) {
    session_.command(command, multi_line);
    MAIL_TRY(got, reply());
    MAIL_CHECK(to_status(got));
    return std::move(got);
  }

  std::vector<std::string> capabilities_now() {
    std::vector<std::string> out;
    if (const auto got = run("CAPA", true))
      for (const auto line : split(got->body, '\n'))
        if (const auto word = trim(line); !word.empty()) out.push_back(to_upper(word));
    return out;
  }

  Status user_and_pass() {
    if (login_.url.tls != Url::Tls::none && !transport_.tls_info())
      return fail(Error::Kind::refused, "the password is not sent in clear");
    MAIL_TRY(password, read_secret(login_.password));
    MAIL_CHECK(run("USER " + login_.url.user));
    const auto got = run("PASS " + password.text());
    if (!got) return fail(Error::Kind::refused, got.error().text);
    return {};
  }

  Status authenticate(const std::vector<std::string>& mechanisms) {
    MAIL_TRY(exchange, begin_login(login_, transport_, mechanisms));
    exchange_ = std::move(exchange);
    std::string command = concat({"AUTH ", exchange_->mechanism()});
    // RFC 5034 section 4: an initial response only where the line stays within 255 octets.
    if (const auto initial = exchange_->initial_response()) {
      const auto encoded = initial->empty() ? std::string("=") : to_base64(*initial);
      if (command.size() + encoded.size() < 250) {
        command += " " + encoded;
      } else {
        held_initial_ = encoded;
      }
    }
    const auto got = run(command);
    if (!got)
      return fail(got.error().kind == Error::Kind::temporary ? Error::Kind::temporary : Error::Kind::refused,
                  got.error().text);
    return exchange_->succeeded();
  }

  Status answer_challenge(std::string_view text) {
    const auto challenge = from_base64(text);
    if (!held_initial_.empty()) {
      session_.respond(held_initial_);
      held_initial_.clear();
      return {};
    }
    if (exchange_ == nullptr || !challenge) {
      session_.respond("*");
      return {};
    }
    const auto response = exchange_->step(*challenge);
    session_.respond(response ? to_base64(*response) : "*");
    if (!response) return tl::unexpected(response.error());
    return {};
  }

  Result<std::vector<std::pair<std::uint32_t, std::uint64_t>>> sizes() {
    MAIL_TRY(list, run("LIST", true));
    std::vector<std::pair<std::uint32_t, std::uint64_t>> out;
    for (const auto line : split(list.body, '\n')) {
      const auto words = split_words(line);
      if (words.size() < 2) continue;
      const auto id = parse_decimal<std::uint32_t>(words[0]);
      const auto octets = parse_decimal<std::uint64_t>(words[1]);
      if (id && octets) out.emplace_back(*id, *octets);
    }
    return out;
  }

  Login login_;
  net::BlockingTransport transport_;
  pop3::ClientSession session_;
  std::unique_ptr<sasl::ClientExchange> exchange_;
  std::string held_initial_;
  bool logged_in_ = false;
};

}  // namespace

Result<std::unique_ptr<Source>> open_pop3(const Login& login) {
  MAIL_TRY(transport, connect(login));
  auto source = std::make_unique<Pop3Source>(login, std::move(transport));
  MAIL_CHECK(source->log_in());
  return source;
}

}  // namespace mail::mua
