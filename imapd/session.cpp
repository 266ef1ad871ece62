#include "imapd/session.h"

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "imap/mutf7.h"
#include "imap/response.h"
#include "imapd/commands/fetch.h"

namespace mail::imapd {

namespace {
constexpr std::string_view kContinue = "+ Ready for literal data\r\n";
/// Messages above this are written to a file while they come.
constexpr std::uint64_t kStagedOctets = 128 * 1024;
/// Each holds a descriptor.
constexpr std::size_t kMostStaged = 50;
}  // namespace

Session::Session(const Environment& environment, std::string peer, directory::RunBlocking run_blocking,
                 std::function<void()> wake)
    : environment_(environment),
      reader_(environment.before_login),
      peer_(std::move(peer)),
      run_blocking_(std::move(run_blocking)),
      wake_(std::move(wake)) {}

Session::~Session() { close_mailbox(); }

void Session::set_channel(sasl::Channel channel) {
  channel_ = std::move(channel);
  login_.reset();
}

void Session::greet() {
  untagged("OK [CAPABILITY " + capabilities() + "] " + environment_.policy.host_name + " ready");
}

void Session::greet_preauthenticated(const directory::User& user) {
  log_in(user);
  resume_ = [this] {
    auto done = open_account();
    if (done.kind == Completion::Kind::worker) return done;
    if (done.kind == Completion::Kind::ok) {
      untagged("PREAUTH [CAPABILITY " + capabilities() + "] Logged in as " + user_.name);
    } else {
      untagged("BYE " + done.text);
      closing_ = true;
    }
    return Completion{Completion::Kind::silent, {}};
  };
}

void Session::untagged(std::string_view text) {
  out_ += "* ";
  const auto [status, words] = split_once(text, ' ');
  if (language_ != Language::i_default && (status == "OK" || status == "NO" || status == "BYE"))
    out_ += concat({status, " ", in_language(language_, std::string(words))});
  else
    out_ += text;
  out_ += "\r\n";
}

void Session::tls_started(sasl::Channel channel) {
  // RFC 9051 section 6.2.1: what was said in clear is forgotten.
  reader_.tls_started();
  set_channel(std::move(channel));
}

void Session::shut_down(std::string_view why) {
  if (!closing_) untagged(concat({"BYE ", why}));
  closing_ = true;
}

Session::Next Session::run(bool on_worker) {
  const Notify::Acting acting(*this);
  on_worker_ = on_worker;
  next_ = Next::input;
  if (!updates_ && tells_at_once() && !bring_up_to_date()) return Next::worker;
  for (;;) {
    if (closing_) return Next::close;
    if (requested_) return *std::exchange(requested_, std::nullopt);
    if (literal_to_stage_) {
      stage_literal();
      if (next_ != Next::input) return next_;
    }
    if (staging_ && !on_worker_) return Next::worker;
    if (resume_) {
      auto resume = std::exchange(resume_, nullptr);
      auto completion = resume();
      const bool again = completion.kind == Completion::Kind::worker || completion.kind == Completion::Kind::wait;
      if (again && !resume_) resume_ = std::move(resume);
      if (completion.kind == Completion::Kind::worker) return Next::worker;
      if (completion.kind == Completion::Kind::wait) return Next::wait;
      if (!settle(std::move(completion))) return next_;
      continue;
    }
    if (finished_) {
      if (!settle(*std::exchange(finished_, std::nullopt))) return next_;
      continue;
    }
    if (work_) {
      if (!settle(work_->step(*this))) return next_;
      continue;
    }
    if (std::exchange(rerun_, false)) {
      dispatch();
      if (next_ != Next::input) return next_;
      continue;
    }
    if (!updates_) updates_ = next_updates();
    if (updates_) {
      const auto kind = updates_->step(*this).kind;
      if (kind == Completion::Kind::worker) return Next::worker;
      if (kind == Completion::Kind::more) return Next::more;
      updates_.reset();
      if (answer_) respond(*std::exchange(answer_, std::nullopt));
      continue;
    }
    // What is ready to go out goes before more is done: pipelined commands must not pile up their answers.
    if (out_.size() > kPiece) return Next::more;
    // The next command begins on the loop: a login that is pipelined behind it belongs there, and so does the
    // connection.
    if (on_worker_ && !staging_) return Next::more;
    auto event = reader_.next();
    if (!event) return Next::input;
    std::visit([this](const auto& e) { act(e); }, *event);
    if (next_ != Next::input) return next_;
  }
}

void Session::act(const imap::CommandReader::Command& command) {
  tag_ = command.tag;
  in_pieces_ = false;
  arguments_ = command.arguments;
  uid_command_ = command.name.starts_with("UID ");
  command_ = find_command(command.name);
  static constexpr Command kUnknown{"", nullptr, 0};
  if (command_ == nullptr) {
    command_ = &kUnknown;
    settle(bad("Unknown command"));
  } else if ((command_->states & state()) == 0) {
    settle(bad(state() == kNotAuthenticated            ? "Log in first"
               : command_->states == kNotAuthenticated ? "Already logged in"
                                                       : "Select a mailbox first"));
  } else if (needs_utf8(*command_)) {
    settle(no("[CANNOT] This server speaks UTF-8 only: ENABLE UTF8=ACCEPT first"));  // RFC 6855 section 6
  } else if (enabled_.uid_only && !uid_command_ && command_->name != "EXPUNGE" &&
             find_command(concat({"UID ", command_->name})) != nullptr) {
    settle(uid_required());
  } else {
    dispatch();
  }
}

bool Session::needs_utf8(const Command& command) const {
  return environment_.settings.imap.utf8_only && !enabled_.utf8 && !command.ascii &&
         (command.states & kNotAuthenticated) == 0;
}

void Session::dispatch() {
  if (command_->disk && !on_worker_) {
    rerun_ = true;
    next_ = Next::worker;
    return;
  }
  imap::Arguments arguments(arguments_);
  settle(command_->run(*this, arguments));
}

bool Session::settle(Completion completion) {
  using Kind = Completion::Kind;
  switch (completion.kind) {
    case Kind::worker:
      rerun_ = work_ == nullptr;
      next_ = Next::worker;
      return false;
    case Kind::more:
      in_pieces_ = true;
      next_ = Next::more;
      return false;
    case Kind::line:
      next_ = Next::input;
      return true;
    case Kind::wait:
      return true;
    case Kind::silent:
      return true;
    case Kind::ok:
    case Kind::no:
    case Kind::bad:
      break;
  }
  work_.reset();
  if (view_ != nullptr && command_ != nullptr && command_->polls && view_->stale()) {
    if (!on_worker_) {
      finished_ = std::move(completion);
      next_ = Next::worker;
      return false;
    }
    if (auto refreshed = view_->refresh(); !refreshed)
      log_event(LogLevel::warning, "refresh_failed", {{"user", user_.name}, {"error", refreshed.error().text}});
  }
  if (view_ != nullptr && completion.kind != Kind::bad && tells_changes())
    send_changes(command_ == nullptr || !command_->keeps_numbers || uid_command_);
  // What a context gains or loses by the command stands before its answer, as the FETCH and EXISTS do that say why
  // (RFC 5267 section 4.3): a client that has the answer has all of it.
  if (view_ != nullptr && !contexts_.empty() && !updates_ && (updates_ = contexts_.updates(*this)) != nullptr) {
    answer_ = std::move(completion);
    return true;
  }
  respond(std::move(completion));
  return true;
}

void Session::respond(Completion completion) {
  using Kind = Completion::Kind;
  out_ += tag_;
  out_ += completion.kind == Kind::ok ? " OK " : completion.kind == Kind::no ? " NO " : " BAD ";
  out_ += language_ == Language::i_default ? completion.text : in_language(language_, std::move(completion.text));
  out_ += "\r\n";
  command_ = nullptr;
  arguments_ = {};
  staged_.clear();
  reader_.finish();
  if (completion.kind == Kind::bad) count_error();
}

void Session::count_error() {
  if (++errors_ >= environment_.settings.imap.errors) shut_down("Too many errors");
}

void Session::act(const imap::CommandReader::Literal& literal) {
  if (account_ == nullptr && literal.name != "LOGIN" && literal.name != "ID" && literal.name != "AUTHENTICATE") {
    reader_.refuse_literal("Log in first", false);
    return;
  }
  if (literal.octets > kStagedOctets && (literal.name == "APPEND" || literal.name.ends_with("REPLACE"))) {
    if (staged_.size() == kMostStaged) return reader_.refuse_literal("Too many large messages in one command", true);
    literal_to_stage_ = literal.synchronizing;
    return stage_literal();
  }
  reader_.accept_literal();
  if (literal.synchronizing) out_ += kContinue;
}

/// A large message goes to a file as it comes: a thousand clients that append at once need no memory for it.
void Session::stage_literal() {
  if (!on_worker_) {
    next_ = Next::worker;
    return;
  }
  const bool synchronizing = *std::exchange(literal_to_stage_, std::nullopt);
  // Where it will belong is not known before the command is; in the same account a file is moved without being copied.
  staged_.push_back(account_->stage("INBOX"));
  staging_ = true;
  reader_.divert_literal();
  if (synchronizing) out_ += kContinue;
}

void Session::act(const imap::CommandReader::LiteralOctets& octets) {
  auto& staged = staged_.back();
  if (staged)
    if (auto written = (*staged)->write(octets.octets); !written) staged = tl::unexpected(written.error());
  if (octets.last) staging_ = false;
}

Result<Session::MessageLiteral> Session::take_message_literal(imap::Arguments& arguments) {
  MessageLiteral literal;
  if (!arguments.cursor().take("{#")) {
    MAIL_TRY(octets, arguments.literal());
    literal.octets = octets;
    return literal;
  }
  const auto number = arguments.cursor().take_decimal<std::size_t>();
  if (!number || !arguments.cursor().take("}\r\n")) return fail(Error::Kind::syntax, "Malformed literal");
  if (*number >= staged_.size()) return fail(Error::Kind::syntax, "No such literal");
  MAIL_TRY(staged, staged_[*number]);
  literal.staged = std::move(staged);
  return literal;
}

void Session::act(const imap::CommandReader::Line& line) {
  auto on_line = std::exchange(on_line_, nullptr);
  settle(on_line(line.text));
}

void Session::act(const imap::CommandReader::Refused& refused) {
  if (on_line_) {  // An over-long line in the middle of AUTHENTICATE or IDLE ends that command.
    on_line_ = nullptr;
    stop_idle();
    command_ = nullptr;
  }
  staged_.clear();
  staging_ = false;
  out_ += refused.tag;
  out_ += refused.too_big ? " NO [TOOBIG] " : " BAD ";
  out_ += refused.text;
  out_ += "\r\n";
  if (refused.fatal) shut_down("Cannot get in step again");
  count_error();
}

Completion Session::start(std::unique_ptr<Work> work) {
  work_ = std::move(work);
  return work_->step(*this);
}

Completion Session::read_line(std::function<Completion(std::string_view)> on_line, std::string_view challenge) {
  out_ += "+ ";
  out_ += challenge;
  out_ += "\r\n";
  on_line_ = std::move(on_line);
  reader_.expect_line();
  return {Completion::Kind::line, {}};
}

Completion Session::wait_for(std::function<Completion()> resume) {
  resume_ = std::move(resume);
  return {Completion::Kind::wait, {}};
}

directory::Login& Session::login() {
  if (!login_) {
    login_ = std::make_unique<directory::Login>(*environment_.directory, environment_.throttle, environment_.policy,
                                                run_blocking_, directory::Login::Peer{"imap", peer_});
    login_->set_channel(channel_);
  }
  return *login_;
}

void Session::log_in(directory::User user) { user_ = std::move(user); }

Completion Session::open_account() {
  const auto location = location_of(user_, environment_.settings);
  auto account = environment_.store->open_account(location);
  if (!account) {
    if (!on_worker_) return on_worker();
    auto opened = environment_.store->account(location);
    if (!opened) {
      log_event(LogLevel::error, "account_failed", {{"user", user_.name}, {"error", opened.error().text}});
      return failed(opened.error(), "The mailbox cannot be opened");
    }
    account = std::move(*opened);
  }
  account_ = std::move(account);
  reader_.set_limits(environment_.after_login);
  login_.reset();
  return ok("[CAPABILITY " + capabilities() + "] Logged in");
}

void Session::forget_user() {
  close_mailbox();
  notify_.reset();
  account_.reset();
  user_ = {};
  enabled_ = {};
  saved_result_ = {};
  reader_.set_limits(environment_.before_login);
}

void Session::select(std::shared_ptr<store::View> view, std::string name, Place place) {
  close_mailbox();
  view_ = std::move(view);
  selected_name_ = std::move(name);
  place_ = std::move(place);
  told_ = view_->last_uid();
  listen_to_view();
  refresh_keywords();
}

void Session::close_mailbox() {
  if (view_) view_->set_notify({});
  view_.reset();
  selected_name_.clear();
  place_ = {};
  contexts_.clear();
  updates_.reset();
  arrived_ = made_here_ = {};
  saved_result_ = {};
  keywords_ = {};
}

void Session::renamed(std::string_view from, std::string_view to, std::string_view to_in_account) {
  const char separator = environment_.store->settings().separator;
  if (!view_ || from == "INBOX" || !selected_name_.starts_with(from)) return;
  const auto rest = selected_name_.substr(from.size());
  if (!rest.empty() && rest[0] != separator) return;
  selected_name_ = concat({to, rest});
  place_.name = concat({to_in_account, rest});
}

void Session::listen_to_view() {
  if (!view_) return;
  if (idling_ || (notify_ && notify_->selected().messages))
    view_->set_notify(wake_);
  else
    view_->set_notify({});
}

void Session::start_idle() {
  idling_ = true;
  listen_to_view();
}

void Session::stop_idle() {
  idling_ = false;
  listen_to_view();
}

void Session::notify(std::unique_ptr<Notify> notify) {
  updates_.reset();
  notify_ = std::move(notify);
  arrived_ = {};
  listen_to_view();
}

bool Session::tells_at_once() const {
  if (!view_ || !tells_changes()) return false;
  return idling_ || (notify_ != nullptr && command_ == nullptr && !staging_ && !literal_to_stage_);
}

bool Session::bring_up_to_date() {
  if (view_->stale()) {
    if (!on_worker_) return false;
    if (auto refreshed = view_->refresh(); !refreshed)
      log_event(LogLevel::warning, "refresh_failed", {{"user", user_.name}, {"error", refreshed.error().text}});
  }
  send_changes(idling_ || !notify_->selected().delayed);
  return true;
}

std::unique_ptr<Work> Session::next_updates() {
  if (view_ && !contexts_.empty())
    if (auto work = contexts_.updates(*this)) return work;
  if (view_ && notify_ && !arrived_.empty())
    return fetch_unsolicited(*this, notify_->selected().wanted, std::exchange(arrived_, {}));
  if (notify_ && notify_->has_news()) return notify_->news();
  return nullptr;
}

}  // namespace mail::imapd
