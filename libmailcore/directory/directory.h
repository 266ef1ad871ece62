// Who has a mailbox here: users from passwd-files, system users and checkpassword programs; local domains; aliases.
// Thread-safe; files are read again when they change. What hashes a password or starts a program blocks: run it on a
// worker.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "directory/aliases.h"
#include "sasl/password.h"

namespace mail::directory {

struct User {
  std::string name;       ///< The canonical name, as the source has it: "ann" or "ann@example.org".
  std::string full_name;  ///< GECOS.
  std::string home;
  std::string mail;  ///< Absolute path of the Maildir, or of the mbox file where `mbox`.
  bool mbox = false;
  std::optional<uid_t> uid;  ///< Whose the files are; nothing: the process's own.
  std::optional<gid_t> gid;
  std::uint64_t quota_octets = 0;                          ///< 0: no limit.
  std::uint64_t quota_messages = 0;                        ///< 0: no limit.
  bool login_allowed = true;                               ///< `nologin` in the users file.
  std::vector<std::pair<std::string, std::string>> extra;  ///< Other fields of the users file, `userdb_` removed.
};

struct Options {
  std::string passwd_file;        ///< users(5): Dovecot's passwd-file format; empty: none.
  std::string aliases_file;       ///< aliases(5); empty: none.
  bool system_users = false;      ///< getpwnam(3), for delivery; passwords by shadow where this process may read it.
  uid_t least_system_uid = 1000;  ///< Below are accounts of services: no mailbox.
  std::vector<std::string> checkpassword;  ///< argv of a checkpassword program; empty: none.
  std::vector<std::string> domains;        ///< Local domains, the first completes bare names. Lower-case A-labels.
  std::string mail_root = "%h/Maildir";    ///< Maildir of a user: %u name, %n local part, %d domain, %h home.
  std::chrono::seconds positive_cache{
      600};  ///< How long a right password is remembered (as a keyed hash); 0: not at all.
  std::chrono::seconds negative_cache{10};  ///< How long a wrong one and an unknown system user are.
  std::size_t cache_entries = 100000;
  std::chrono::milliseconds check_files{1000};  ///< Files are looked at for changes this often at most.
  std::chrono::seconds program_time{10};        ///< A checkpassword program is killed after this.
};

class Directory {
 public:
  /// Reads all files once. @return the file and line that cannot be understood.
  static Result<std::unique_ptr<Directory>> open(Options options, const Clock& clock = Clock::system());
  ~Directory();

  /// The user of a login name or address: exact; "n@local-domain" also finds "n"; "n" also finds "n@first-domain".
  /// Names are compared without regard to case. @return temporary where a source cannot be asked.
  Result<std::optional<User>> find_user(std::string_view name) const;

  /// Right password, or nothing: unknown user, wrong password, no login: all take the same time. Blocks.
  Result<std::optional<User>> authenticate(std::string_view name, std::string_view password) const;
  /// As authenticate(), where the answer is known from before; a microsecond. Nothing: ask authenticate() on a worker.
  std::optional<User> authenticate_cached(std::string_view name, std::string_view password) const;

  struct Keys {
    sasl::ScramKeys keys;  ///< Made up (the same for the same name) where the user is unknown or has no such keys.
    bool known = false;
  };
  Result<Keys> scram_keys(std::string_view name, sasl::ScramHash hash) const;
  /// For CRAM-MD5 and APOP.
  Result<std::optional<sasl::Secret>> plain_secret(std::string_view name) const;
  /// True where every user's password is stored so that SCRAM with this hash, or CRAM-MD5 and APOP, can work. A client
  /// takes the strongest mechanism and does not try another one: what would fail for some users is not announced.
  bool all_have_scram_keys(sasl::ScramHash hash) const;
  bool has_plain_secrets() const;

  bool is_local_domain(std::string_view domain) const;  ///< Without regard to case.
  const std::vector<std::string>& domains() const;
  /// The aliases as they are now.
  std::shared_ptr<const AliasTable> aliases() const;

  /// Looks at all files now (SIGHUP). A file that cannot be understood is told in the log, and its former content stays
  /// in use.
  Status reload();

 private:
  bool all_in_file() const;
  struct State;
  explicit Directory(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mail::directory
