// One client's conversation: commands in, responses out, state of RFC 9051 section 3. No sockets: client.h carries the
// octets, and gives the session a worker's thread where it asks for one. One thread at a time.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "config/settings.h"
#include "directory/login.h"
#include "imap/command_reader.h"
#include "imap/number_set.h"
#include "imapd/access.h"
#include "imapd/columns.h"
#include "imapd/command.h"
#include "imapd/contexts.h"
#include "imapd/language.h"
#include "imapd/notify.h"
#include "store/account.h"
#include "store/mailbox.h"
#include "store/server_notes.h"
#include "store/shared_list.h"
#include "store/store.h"

namespace mail::imapd {

/// What all sessions of the process share. Outlives them.
struct Environment {
  config::Settings settings;
  std::shared_ptr<store::Store> store;
  const directory::Directory* directory = nullptr;
  directory::Throttle* throttle = nullptr;
  sasl::ServerPolicy policy;
  imap::ReaderLimits before_login, after_login;
  const Clock* clock = &Clock::system();
  bool tls_available = false;
  std::shared_ptr<ColumnsCache> columns = std::make_shared<ColumnsCache>();
  std::shared_ptr<store::SharedList> shared;  ///< Set by prepare().
  std::shared_ptr<store::ServerNotes> notes;  ///< Set by prepare().
};
/// Sets limits and policy from env.settings.
void prepare(Environment& environment);
/// Where a user's mail is.
store::AccountLocation location_of(const directory::User& user, const config::Settings& settings);

/// What ENABLE has switched on.
struct Enabled {
  bool condstore = false, qresync = false, utf8 = false, imap4rev2 = false, uid_only = false;
};

class Session {
 public:
  /// Output is handed on in pieces of about this size: large enough for the network, small enough for ten thousand
  /// sessions.
  static constexpr std::size_t kPiece = 256 * 1024;

  enum class Next : std::uint8_t {
    input,      ///< receive() more.
    worker,     ///< run(true) on a worker.
    more,       ///< Send output(), then run() again.
    wait,       ///< The wake function will be called.
    start_tls,  ///< After output(): TLS, then tls_started().
    compress,   ///< After output(): DEFLATE both ways, then compress_started().
    close,      ///< After output().
  };

  /// @param wake  called (from any thread) when run() has something to do without new octets
  Session(const Environment& environment, std::string peer, directory::RunBlocking run_blocking,
          std::function<void()> wake);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // For who carries it.
  void set_channel(sasl::Channel channel);  ///< At the start, and by tls_started().
  void greet();
  void greet_preauthenticated(const directory::User& user);  ///< `imapd --preauth`. Call run() after it.
  void receive(std::string_view octets) { reader_.receive(octets); }
  Next run(bool on_worker);
  std::string& output() { return out_; }
  void tls_started(sasl::Channel channel);
  void compress_started() { compressed_ = true; }
  void shut_down(std::string_view why);  ///< BYE, then Next::close.
  bool logged_in() const { return account_ != nullptr; }
  /// May have something to say without being spoken to.
  bool listening() const { return idling_ || notify_ != nullptr; }
  const std::string& user() const { return user_.name; }
  /// The tag of the command that runs, as long as nothing of its answer has been handed on in pieces; else empty.
  std::string_view quiet_tag() const {
    return command_ != nullptr && logged_in() && !in_pieces_ ? std::string_view(tag_) : std::string_view();
  }
  /// The groups of the users file's field `acl_groups`, for identifiers of access lists.
  std::vector<std::string> groups() const;

  // For the commands.
  const Environment& environment() const { return environment_; }
  std::string& out() { return out_; }
  void untagged(std::string_view text);  ///< `* ` text CRLF
  bool may_block() const { return on_worker_; }
  std::uint8_t state() const {
    return account_ == nullptr ? kNotAuthenticated : view_ == nullptr ? kAuthenticated : kSelected;
  }
  store::Account& account() { return *account_; }
  std::shared_ptr<store::Account> shared_account() const { return account_; }
  store::View& view() { return *view_; }
  bool selected() const { return view_ != nullptr; }
  Enabled& enabled() { return enabled_; }
  bool tells_recent() const { return !enabled_.imap4rev2; }  ///< RFC 9051 knows no \Recent.
  bool utf8() const { return enabled_.utf8 || enabled_.imap4rev2; }
  bool uid_command() const { return uid_command_; }
  bool encrypted() const { return channel_.encrypted; }
  bool compressed() const { return compressed_; }
  const std::string& tag() const { return tag_; }
  Language language() const { return language_; }
  void set_language(Language language) { language_ = language; }
  directory::Login& login();
  void log_in(directory::User user);  ///< Sets the user; open_account() follows.
  Completion open_account();
  void log_out() { closing_ = true; }
  void forget_user();  ///< UNAUTHENTICATE
  void request(Next next) { requested_ = next; }

  /// @param name  the mailbox's name as the client has it
  void select(std::shared_ptr<store::View> view, std::string name, Place place);
  /// Of the selected mailbox: as the client names it, and where it is.
  const std::string& selected_name() const { return selected_name_; }
  const Place& selected_place() const { return place_; }
  /// The user's rights on it now: they may have changed since SELECT. [as Account::acl]
  const store::Rights& selected_rights();
  /// The selected mailbox, or one above it, has another name: the session still has it selected. INBOX stays INBOX.
  void renamed(std::string_view from, std::string_view to, std::string_view to_in_account);
  void close_mailbox();
  void start_idle();
  void stop_idle();
  Completion start(std::unique_ptr<Work> work);
  Completion read_line(std::function<Completion(std::string_view)> on_line, std::string_view challenge);
  Completion wait_for(std::function<Completion()> resume);
  void wake() { wake_(); }
  std::function<void()> wake_function() const { return wake_; }  ///< To be called on any thread.
  /// Next::wait is to last this long; 0: until the wake function is called.
  std::chrono::milliseconds take_delay() { return std::exchange(delay_, {}); }
  void set_delay(std::chrono::milliseconds delay) { delay_ = delay; }

  /// A literal of APPEND, or what was written to a file while it came: `{#n}` stands for it
  /// (CommandReader::divert_literal()).
  struct MessageLiteral {
    std::string_view octets;  ///< Of the command; or
    std::shared_ptr<store::StagedMessage> staged;
  };
  Result<MessageLiteral> take_message_literal(imap::Arguments& arguments);

  /// Names of the mailbox's keywords, by bit.
  const std::vector<std::string>& keywords() const { return keywords_; }
  void refresh_keywords();
  /// `FLAGS (…)` and `[PERMANENTFLAGS (…)]`
  void send_flags(bool permanent);
  /// False where NOTIFY wants nothing of the selected mailbox: then only what the client does itself is told.
  bool tells_changes() const { return notify_ == nullptr || notify_->selected().messages; }
  /// Tells what changed, if that is allowed now.
  void send_changes(bool expunges);
  /// `* n FETCH (…)` with flags, UID and MODSEQ as the session's ENABLEs want them.
  void send_flags_of(store::Uid uid, bool with_flags, bool always_uid);
  void send_flags_of(store::SequenceNumber number, const store::MessageRow& row, bool with_flags, bool always_uid);
  void append_mailbox(std::string_view name);
  /// A mailbox name of a command, as the store knows it: UTF-8, INBOX in upper case.
  Result<std::string> mailbox_argument(imap::Arguments& arguments);
  Result<std::string> mailbox_from_wire(const std::string& name) const;
  /// A mailbox name that was UTF-8 from the start (of a URL), as the store knows it.
  Result<std::string> mailbox_from_utf8(const std::string& name) const;
  /// The messages of a set argument, `$` included. Sequence numbers beyond the mailbox are BAD, unknown UIDs are passed
  /// over.
  /// @param lenient  as a search key: numbers beyond the mailbox match nothing
  Result<store::UidSet> messages_of(const imap::SequenceSet& set, bool uids, bool lenient = false);
  /// The same in any view, where `$` is `saved`.
  static Result<store::UidSet> messages_in(const store::View& view, const store::UidSet& saved,
                                           const imap::SequenceSet& set, bool uids, bool lenient);
  store::UidSet& saved_result() { return saved_result_; }  ///< SEARCHRES
  SearchContexts& contexts() { return contexts_; }
  void notify(std::unique_ptr<Notify> notify);  ///< In place of what NOTIFY asked for before.
  /// APPEND and COPY of this session: the client knows of these messages, should it have that mailbox selected.
  void made_here(std::string_view mailbox, const store::UidSet& uids);
  void use_condstore();  ///< RFC 7162 section 3.1: a CONDSTORE-enabling command.
  bool read_only() const { return view_ != nullptr && view_->read_only(); }
  std::string capabilities() const;

 private:
  Result<std::string> plain_mailbox_name(std::optional<std::string> name) const;
  void act(const imap::CommandReader::Command& command);
  void act(const imap::CommandReader::Literal& literal);
  void act(const imap::CommandReader::LiteralOctets& octets);
  void act(const imap::CommandReader::Line& line);
  void act(const imap::CommandReader::Refused& refused);
  void stage_literal();
  bool needs_utf8(const Command& command) const;  ///< And the client has not enabled it.
  void dispatch();
  /// True where the command is over.
  bool settle(Completion completion);
  bool bring_up_to_date();
  /// True where changes of the selected mailbox are told without a command: IDLE, NOTIFY.
  bool tells_at_once() const;
  void listen_to_view();
  std::unique_ptr<Work> next_updates();
  void respond(Completion completion);
  void count_error();

  const Environment& environment_;
  imap::CommandReader reader_;
  std::string out_;
  std::string peer_;
  directory::RunBlocking run_blocking_;
  std::function<void()> wake_;
  sasl::Channel channel_;
  std::unique_ptr<directory::Login> login_;
  directory::User user_;
  std::shared_ptr<store::Account> account_;
  std::shared_ptr<store::View> view_;
  std::string selected_name_;
  Place place_;
  std::vector<std::string> keywords_;
  Enabled enabled_;
  Language language_ = Language::i_default;
  store::UidSet saved_result_;
  SearchContexts contexts_;
  std::unique_ptr<Notify> notify_;
  store::UidSet arrived_, made_here_;  // NOTIFY: to be fetched; not to be
  store::Uid told_{};                  // the highest UID that the client was told of
  std::unique_ptr<Work> updates_;      // of contexts and NOTIFY, before the next command
  std::string tag_;
  std::string_view arguments_;  // of the command that runs: the reader keeps them until it is finished
  const Command* command_ = nullptr;
  std::unique_ptr<Work> work_;
  std::function<Completion(std::string_view)> on_line_;
  std::function<Completion()> resume_;
  std::optional<Completion> finished_;  // only the news are to be sent before it
  std::optional<Completion> answer_;    // sent when updates_ are
  std::vector<Result<std::shared_ptr<store::StagedMessage>>> staged_;
  std::optional<bool> literal_to_stage_;  // whether it is synchronizing
  bool staging_ = false;                  // octets of the last of staged_ are coming
  std::optional<Next> requested_;
  Next next_ = Next::input;
  std::chrono::milliseconds delay_{0};
  std::size_t errors_ = 0;
  bool on_worker_ = false;
  bool rerun_ = false;
  bool in_pieces_ = false;  // output of the command that runs has gone out already
  bool closing_ = false;
  bool compressed_ = false;
  bool uid_command_ = false;
  bool idling_ = false;
};

}  // namespace mail::imapd
