#include "tests/imapd/harness.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "base/strings.h"
#include "directory/from_settings.h"
#include "store/account.h"
#include "store/from_settings.h"

namespace mail::test {
namespace {

std::string value_of(const TranscriptSettings& settings, const std::string& name, const std::string& otherwise = {}) {
  const auto found = settings.find(name);
  return found == settings.end() ? otherwise : found->second;
}
bool is_set(const TranscriptSettings& settings, const std::string& name) { return value_of(settings, name) == "1"; }

}  // namespace

ImapWorld::ImapWorld(const TranscriptSettings& settings, Disk& disk) {
  const auto quota = value_of(settings, "quota");
  std::ofstream(directory_ / "users") << "ann:{PLAIN}secret::::::"
                                      << (quota.empty() ? "" : "userdb_quota_rule=*:bytes=" + quota)
                                      << "\nbob:{PLAIN}secret::::::\n";
  auto& config = environment_.settings;
  config.host.name = "imap.example.org";
  config.users.passwd_file = directory_ / "users";
  config.mail.root = directory_ / "mail/%n";
  config.imap.shared_list = directory_ / "shared";
  config.imap.server_metadata = directory_ / "server";
  config.imap.other_users = value_of(settings, "other_users", "user");
  config.imap.message_limit = parse_decimal<std::size_t>(value_of(settings, "message_limit", "0")).value();
  if (const auto name = value_of(settings, "administrator"); !name.empty()) config.imap.administrators = {name};
  config.auth.allow_plaintext = is_set(settings, "plaintext");
  config.auth.mechanisms = {"PLAIN", "LOGIN"};
  config.imap.errors = parse_decimal<std::size_t>(value_of(settings, "errors", "20")).value();
  config.imap.append_octets = {parse_decimal<std::uint64_t>(value_of(settings, "append_octets", "1000000")).value()};
  config.imap.line_octets = parse_decimal<std::size_t>(value_of(settings, "line_octets", "65536")).value();
  config.imap.utf8_only = is_set(settings, "utf8_only");
  if (const auto submitters = value_of(settings, "submitters"); !submitters.empty())
    config.imap.url_submitters = {submitters};
  users_ = std::move(*directory::Directory::open(directory::options_from(config)));
  auto store_settings = store::settings_from(config);
  store_settings.separator = value_of(settings, "separator", "/")[0];
  store_settings.flush = false;
  store_settings.watch = is_set(settings, "watch");
  store_settings.poll = std::chrono::seconds(parse_decimal<int>(value_of(settings, "poll", "10")).value());
  store_settings.append_octets = config.imap.append_octets;
  environment_.store = *store::Store::open(store_settings, disk);
  environment_.directory = users_.get();
  environment_.tls_available = true;
  imapd::prepare(environment_);
  const auto loads = value_of(settings, "load");
  for (const auto part : split(loads, ',')) {
    if (part.empty()) continue;
    const auto [mailbox, file] = split_once(part, ':');
    load("ann", std::string(mailbox), std::string(file));
  }
}

void ImapWorld::load(const std::string& user, const std::string& mailbox, const std::string& mbox) {
  const auto text = "\n" + read_fixture("imapd/mail/" + mbox);
  std::size_t at = 0;
  while ((at = text.find("\nFrom ", at)) != std::string::npos) {
    const auto begin = text.find('\n', at + 1) + 1;
    auto end = text.find("\nFrom ", begin);
    if (end == std::string::npos) end = text.size();
    append(user, mailbox, text.substr(begin, end - begin));
    at = end;
  }
}

void ImapWorld::append(const std::string& user, const std::string& mailbox, const std::string& message) {
  const auto found = users_->find_user(user);
  REQUIRE(found);
  REQUIRE(*found);
  const auto account = environment_.store->account(imapd::location_of(**found, environment_.settings));
  REQUIRE(account);
  if (mailbox != "INBOX" && !(*account)->find(mailbox)) REQUIRE((*account)->create(mailbox));
  store::NewMessage fresh;
  fresh.octets = message;
  fresh.internal_date = 1'700'000'000;
  const auto done = (*account)->append(mailbox, {&fresh, 1});
  if (!done) FAIL(done.error().text);
}

ImapConversation::ImapConversation(std::shared_ptr<ImapWorld> world, const TranscriptSettings& settings, int number)
    : world_(std::move(world)), settings_(settings) {
  if (const auto other = value_of(settings, "user" + std::to_string(number)); !other.empty()) {
    settings_["user"] = other;
    settings_.erase("select");
  }
  const auto at_once = [](const std::function<void()>& job, const std::function<void()>& done) {
    job();
    done();
  };
  session_ =
      std::make_unique<imapd::Session>(world_->environment(), "192.0.2.1", at_once, [woken = woken_] { ++*woken; });
  sasl::Channel channel;
  channel.encrypted = is_set(settings_, "encrypted");
  session_->set_channel(channel);
}

std::string ImapConversation::greeting() {
  const auto user = value_of(settings_, "user");
  if (user.empty()) {
    session_->greet();
    return drive();
  }
  session_->greet_preauthenticated(**world_->environment().directory->find_user(user));
  drive();
  if (const auto mailbox = value_of(settings_, "select"); !mailbox.empty())
    receive("select SELECT " + mailbox + "\r\n");
  if (const auto enable = value_of(settings_, "enable"); !enable.empty()) receive("enable ENABLE " + enable + "\r\n");
  return {};
}

std::string ImapConversation::receive(std::string_view octets) {
  if (awaits_tls_) return {};  // On a connection these would be octets of a handshake.
  session_->receive(octets);
  return drive();
}

std::string ImapConversation::drive() {
  using Next = imapd::Session::Next;
  std::string out;
  bool on_worker = false;
  while (!closed_) {
    const auto next = session_->run(on_worker);
    out += session_->output();
    session_->output().clear();
    on_worker = next == Next::worker;
    if (next == Next::close) closed_ = true;
    if (next == Next::compress) session_->compress_started();
    if (next == Next::wait) {
      const auto delay = session_->take_delay();
      if (delay.count() == 0) break;
      std::this_thread::sleep_for(delay);
      continue;
    }
    if (next == Next::start_tls) awaits_tls_ = true;
    if (next == Next::input || next == Next::start_tls) break;
  }
  return out;
}

std::string ImapConversation::pending() {
  if (closed_ || !session_->listening()) return {};
  // The store calls on a thread of its own: half a second is for ever here.
  std::string out = drive();
  for (int i = 0; i < 30 && out.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (woken_->exchange(0) > 0) out += drive();
  }
  return out;
}

void ImapConversation::start_tls() {
  sasl::Channel channel;
  channel.encrypted = true;
  awaits_tls_ = false;
  session_->tls_started(channel);
}

TranscriptFactory imap_factory() {
  return [](const TranscriptSettings& settings) -> OpenConversation {
    auto world = std::make_shared<ImapWorld>(settings);
    return [world, settings](int number) -> std::unique_ptr<Conversation> {
      return std::make_unique<ImapConversation>(world, settings, number);
    };
  };
}

}  // namespace mail::test
