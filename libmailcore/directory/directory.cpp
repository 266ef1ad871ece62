#include "directory/directory.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>

#include "base/log.h"
#include "base/strings.h"
#include "directory/passwd_file.h"
#include "directory/sources.h"
#include "directory/verdict_cache.h"
#include "directory/watched_file.h"

namespace mail::directory {
namespace {

constexpr std::uint32_t kScramIterations = 4096;
// What an unknown name's password is checked against where there is no user to take a hash from: yescrypt at its usual
// cost.
constexpr std::string_view kNobodysPassword =
    "{CRYPT}$y$j9T$qgbNnzZ5VzrRSLMc9Kjjd.$b0c2T5ZJVr.6nYdFcrYqYBmRFFC6zNX6m1mSMnDJiU2";

template <class Problems>
std::string told(const std::string& path, const Problems& problems) {
  std::string text;
  for (const auto& problem : problems)
    text += concat({text.empty() ? "" : "; ", path, ":", decimal(problem.line), ": ", problem.text});
  return text;
}

/// A key that stays the same over restarts and that the network does not know: made-up SCRAM salts must not change when
/// the daemon does.
std::string lasting_key() {
  const auto machine = read_file_at("/etc/machine-id", 4096);
  return concat({"relais made-up SCRAM salt ", machine ? std::string_view(*machine) : "none"});
}

}  // namespace

struct Directory::State {
  State(Options given, const Clock& time)
      : options(std::move(given)),
        clock(time),
        users(
            options.passwd_file,
            [this](std::string_view text) -> Result<PasswdTable> {
              std::vector<PasswdProblem> problems;
              auto table = parse_passwd_file(text, problems);
              if (!problems.empty()) return fail(Error::Kind::syntax, told(options.passwd_file, problems));
              if (!table.doubts.empty())
                log_event(LogLevel::warning, "users_file_problem", {{"text", told(options.passwd_file, table.doubts)}});
              return table;
            }),
        aliases(options.aliases_file,
                [this](std::string_view text) -> Result<AliasTable> {
                  std::vector<AliasProblem> problems;
                  auto table = AliasTable::parse(text, problems);
                  // One bad line must not stop the mail of all other aliases.
                  if (!problems.empty())
                    log_event(LogLevel::warning, "aliases_problem", {{"text", told(options.aliases_file, problems)}});
                  return table;
                }),
        verdicts(options.positive_cache, options.negative_cache, options.cache_entries, time) {}

  Status refresh_all() {
    const std::scoped_lock lock(refreshing);
    MAIL_CHECK(users.refresh());
    return aliases.refresh();
  }

  /// Looks at the files now and then, by one thread; the others go on with what is there.
  void look() {
    const auto now = clock.steady().time_since_epoch().count();
    auto due = next_look.load(std::memory_order_relaxed);
    if (now < due) return;
    const auto next = now + std::chrono::duration_cast<SteadyTime::duration>(options.check_files).count();
    if (!next_look.compare_exchange_strong(due, next)) return;
    if (const auto status = refresh_all(); !status)
      log_event(LogLevel::error, "users_file_problem", {{"text", status.error().text}});
  }

  /// The names under which `name` may stand in a source, in lower case.
  std::vector<std::string> spellings(std::string_view name) const {
    std::vector<std::string> out{to_lower(name)};
    const auto at = out[0].rfind('@');
    if (at == std::string::npos) {
      if (!options.domains.empty()) out.push_back(concat({out[0], "@", options.domains.front()}));
    } else if (std::ranges::find(options.domains, std::string_view(out[0]).substr(at + 1)) != options.domains.end()) {
      out.push_back(out[0].substr(0, at));
    }
    return out;
  }

  std::string default_domain() const { return options.domains.empty() ? "" : options.domains.front(); }

  struct Found {
    User user;
    std::string password;
  };
  Result<std::optional<Found>> find_in_file(std::string_view name) const {
    const auto table = users.table();
    for (const auto& spelling : spellings(name)) {
      const auto entry = table->by_name.find(spelling);
      if (entry == table->by_name.end()) continue;
      Found found{entry->second.user, entry->second.password};
      MAIL_CHECK(set_mail_location(found.user, options.mail_root, default_domain()));
      return std::optional(std::move(found));
    }
    return std::optional<Found>();
  }

  /// Only the local part counts, and only without a domain or with a local one. Remembered for a while: name services
  /// may be slow.
  Result<std::optional<Found>> find_in_system(std::string_view name) {
    if (!options.system_users) return std::optional<Found>();
    const auto names = spellings(name);
    const auto& local_part = names[0].find('@') == std::string::npos ? names[0] : names.back();
    if (local_part.find('@') != std::string::npos) return std::optional<Found>();
    {
      const std::scoped_lock lock(system_mutex);
      const auto cached = system_cache.find(local_part);
      if (cached != system_cache.end() && cached->second.second > clock.steady()) return cached->second.first;
    }
    MAIL_TRY(account, system_account(local_part, options.least_system_uid));
    std::optional<Found> found;
    if (account) {
      MAIL_CHECK(set_mail_location(account->user, options.mail_root, default_domain()));
      found = Found{std::move(account->user), account->password.empty() ? "" : concat({"{CRYPT}", account->password})};
    }
    const std::scoped_lock lock(system_mutex);
    if (system_cache.size() >= options.cache_entries) system_cache.clear();
    system_cache[local_part] = {found, clock.steady() + options.negative_cache};
    return found;
  }

  Result<std::optional<Found>> find(std::string_view name) {
    if (!is_sane_name(name)) return std::optional<Found>();
    look();
    MAIL_TRY(in_file, find_in_file(name));
    if (in_file) return in_file;
    return find_in_system(name);
  }

  Result<std::optional<User>> find_by_program(std::string_view name, std::optional<std::string_view> password) {
    if (options.checkpassword.empty() || !is_sane_name(name)) return std::optional<User>();
    MAIL_TRY(user, ask_checkpassword(options, name, password));
    if (user) MAIL_CHECK(set_mail_location(*user, options.mail_root, default_domain()));
    return user;
  }

  std::string nobodys_password() const {
    auto usual = users.table()->usual_password;
    return usual.empty() ? std::string(kNobodysPassword) : usual;
  }

  Options options;
  const Clock& clock;
  std::mutex refreshing;
  WatchedFile<PasswdTable> users;
  WatchedFile<AliasTable> aliases;
  VerdictCache verdicts;
  std::atomic<SteadyTime::rep> next_look{0};
  std::mutex system_mutex;
  std::unordered_map<std::string, std::pair<std::optional<Found>, SteadyTime>> system_cache;
  std::mutex scram_mutex;
  std::unordered_map<std::string, Keys> scram_cache;
  std::string salt_key = lasting_key();
};

Directory::Directory(std::unique_ptr<State> state) : state_(std::move(state)) {}
Directory::~Directory() = default;

Result<std::unique_ptr<Directory>> Directory::open(Options options, const Clock& clock) {
  for (auto& domain : options.domains) domain = to_lower(domain);
  auto state = std::make_unique<State>(std::move(options), clock);
  MAIL_CHECK(state->refresh_all());
  return std::unique_ptr<Directory>(new Directory(std::move(state)));
}

Result<std::optional<User>> Directory::find_user(std::string_view name) const {
  MAIL_TRY(found, state_->find(name));
  if (found) return std::optional(std::move(found->user));
  return state_->find_by_program(name, std::nullopt);
}

std::optional<User> Directory::authenticate_cached(std::string_view name, std::string_view password) const {
  const auto found = state_->find(name);
  if (!found) return std::nullopt;
  const auto verdict =
      state_->verdicts.find(state_->verdicts.key(to_lower(name), *found ? (*found)->password : "", password));
  return verdict ? *verdict : std::nullopt;
}

Result<std::optional<User>> Directory::authenticate(std::string_view name, std::string_view password) const {
  MAIL_TRY(found, state_->find(name));
  const auto key = state_->verdicts.key(to_lower(name), found ? found->password : "", password);
  if (auto verdict = state_->verdicts.find(key)) return *verdict;
  std::optional<User> user;
  const bool checkable = found && !found->password.empty() && found->user.login_allowed;
  if (!found && !state_->options.checkpassword.empty()) {
    MAIL_TRY(accepted, state_->find_by_program(name, password));
    user = std::move(accepted);
  } else {
    // Whoever cannot log in costs as much as a wrong password: the time tells nothing.
    auto right = sasl::verify_password(checkable ? found->password : state_->nobodys_password(), password);
    if (!right && checkable)
      return fail(right.error().kind == Error::Kind::temporary ? Error::Kind::temporary : Error::Kind::permanent,
                  concat({"user ", printable(name), ": ", right.error().text}));
    if (right && *right && checkable && !password.empty()) user = std::move(found->user);
  }
  state_->verdicts.remember(key, user);
  return user;
}

Result<Directory::Keys> Directory::scram_keys(std::string_view name, sasl::ScramHash hash) const {
  MAIL_TRY(found, state_->find(name));
  static constexpr std::string_view kNul("\0", 1);
  const auto cache_key =
      concat({to_lower(name), kNul, hash == sasl::ScramHash::sha1 ? "1" : "256", kNul, found ? found->password : ""});
  {
    const std::scoped_lock lock(state_->scram_mutex);
    const auto cached = state_->scram_cache.find(cache_key);
    if (cached != state_->scram_cache.end()) return cached->second;
  }
  const auto salt = state_->verdicts.key("", state_->salt_key, to_lower(name)).substr(0, 16);
  Keys keys;
  if (found && found->user.login_allowed)
    if (auto real = sasl::scram_keys(found->password, hash, salt)) keys = {std::move(*real), true};
  if (!keys.known) keys.keys = sasl::make_scram_keys(hash, state_->salt_key, salt, kScramIterations);
  const std::scoped_lock lock(state_->scram_mutex);
  if (state_->scram_cache.size() >= state_->options.cache_entries) state_->scram_cache.clear();
  return state_->scram_cache[cache_key] = keys;
}

Result<std::optional<sasl::Secret>> Directory::plain_secret(std::string_view name) const {
  MAIL_TRY(found, state_->find(name));
  if (!found || !found->user.login_allowed) return std::optional<sasl::Secret>();
  return sasl::plain_secret(found->password);
}

bool Directory::all_have_scram_keys(sasl::ScramHash hash) const {
  const auto table = state_->users.table();
  return all_in_file() && (hash == sasl::ScramHash::sha1 ? table->all_scram_sha1 : table->all_scram_sha256);
}
bool Directory::has_plain_secrets() const { return all_in_file() && state_->users.table()->all_plain; }
bool Directory::all_in_file() const {
  return !state_->options.system_users && state_->options.checkpassword.empty() &&
         !state_->users.table()->by_name.empty();
}

bool Directory::is_local_domain(std::string_view domain) const {
  return std::ranges::any_of(state_->options.domains, [&](const auto& local) { return iequals(local, domain); });
}
const std::vector<std::string>& Directory::domains() const { return state_->options.domains; }

std::shared_ptr<const AliasTable> Directory::aliases() const {
  state_->look();
  return state_->aliases.table();
}

Status Directory::reload() { return state_->refresh_all(); }

}  // namespace mail::directory
