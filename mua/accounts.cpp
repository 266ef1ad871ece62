#include "mua/accounts.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/disk.h"
#include "base/process.h"
#include "base/strings.h"
#include "config/document.h"

namespace mail::mua {

namespace {

struct SchemeRow {
  std::string_view name;
  Url::Scheme scheme;
  Url::Tls tls;
  std::uint16_t port;
};
constexpr std::array kSchemes{
    SchemeRow{"imap", Url::Scheme::imap, Url::Tls::starttls, 143},
    SchemeRow{"imaps", Url::Scheme::imap, Url::Tls::implicit, 993},
    SchemeRow{"pop3", Url::Scheme::pop3, Url::Tls::starttls, 110},
    SchemeRow{"pop3s", Url::Scheme::pop3, Url::Tls::implicit, 995},
    SchemeRow{"smtp", Url::Scheme::smtp, Url::Tls::starttls, 25},
    SchemeRow{"submission", Url::Scheme::smtp, Url::Tls::starttls, 587},
    SchemeRow{"smtps", Url::Scheme::smtp, Url::Tls::implicit, 465},
    SchemeRow{"submissions", Url::Scheme::smtp, Url::Tls::implicit, 465},
};

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto octet = text[i] == '%' && i + 2 < text.size() ? from_hex(text.substr(i + 1, 2)) : std::nullopt;
    if (octet) {
      out += *octet;
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string environment(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string expand_home(std::string_view path) {
  return path.starts_with("~/") ? concat({system_user().home, path.substr(1)}) : std::string(path);
}

bool is_loopback(std::string_view host) { return host == "localhost" || host == "::1" || host.starts_with("127."); }

}  // namespace

Result<Url> parse_url(std::string_view text) {
  Url url;
  const auto separator = text.find("://");
  if (separator == std::string_view::npos) {
    if (text.starts_with("maildir:")) text.remove_prefix(8);
    url.path = expand_home(text);
    if (url.path.empty()) return fail(Error::Kind::syntax, "a path or URL is needed");
    return url;
  }
  const auto scheme = to_lower(text.substr(0, separator));
  auto rest = text.substr(separator + 3);
  if (scheme == "maildir") {
    url.path = expand_home(rest);
    return url;
  }
  const auto row = std::ranges::find(kSchemes, scheme, &SchemeRow::name);
  if (row == kSchemes.end())
    return fail(Error::Kind::syntax, concat({"unknown scheme \"", scheme,
                                             "\": maildir, imap(s), pop3(s), submission(s) and smtp(s) are known"}));
  url.scheme = row->scheme;
  url.tls = row->tls;
  url.port = row->port;
  const auto [before_query, query] = split_once(rest, '?');
  rest = before_query.substr(0, before_query.find('/'));
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
    url.user = percent_decoded(rest.substr(0, at));
    if (url.user.find(':') != std::string::npos)
      return fail(Error::Kind::syntax, "a password does not belong in a URL: use password_command");
    rest.remove_prefix(at + 1);
  }
  if (rest.starts_with('[')) {
    const auto end = rest.find(']');
    if (end == std::string_view::npos) return fail(Error::Kind::syntax, "an address in brackets is not closed");
    url.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  } else {
    url.host = rest.substr(0, rest.find(':'));
    rest.remove_prefix(url.host.size());
  }
  if (rest.starts_with(':')) {
    const auto port = parse_decimal<std::uint16_t>(rest.substr(1));
    if (!port || *port == 0) return fail(Error::Kind::syntax, "the port of the URL is no number from 1 to 65535");
    url.port = *port;
  }
  if (url.host.empty()) return fail(Error::Kind::syntax, "the URL names no host");
  if (query == "tls=no") {
    if (!is_loopback(url.host)) return fail(Error::Kind::syntax, "tls=no is only for this host itself");
    url.tls = Url::Tls::none;
  } else if (!query.empty()) {
    return fail(Error::Kind::syntax, concat({"unknown URL parameter \"", query, "\""}));
  }
  return url;
}

Result<sasl::Secret> read_secret(const SecretSource& source) {
  if (!source.file.empty()) {
    auto text = read_file_at(expand_home(source.file), 65536);
    if (!text) return fail(Error::Kind::refused, "cannot read the password file: " + text.error().text);
    sasl::Secret secret(std::string_view(*text).substr(0, text->find_first_of("\r\n")));
    sasl::cleanse(*text);
    return secret;
  }
  if (source.command.empty())
    return fail(
        Error::Kind::refused,
        "a password is needed: set password_command in mua.toml, or give --password-command or --password-file");
  Command command;
  command.argv = source.command;
  if (command.argv.front().find('/') == std::string::npos) {
    // As execvp(3) does; the program itself is started without any shell.
    const std::string folders = environment("PATH");
    for (const auto folder : split(folders, ':')) {
      const auto path = concat({folder, "/", source.command.front()});
      if (::access(path.c_str(), X_OK) == 0) {
        command.argv.front() = path;
        break;
      }
    }
  } else {
    command.argv.front() = expand_home(command.argv.front());
  }
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) command.environment.emplace_back(*entry);
  MAIL_TRY(finished, run(command));
  if (finished.exit_code != 0)
    return fail(Error::Kind::refused, concat({"the password command \"", source.command.front(), "\" failed"}));
  sasl::Secret secret(std::string_view(finished.output).substr(0, finished.output.find_first_of("\r\n")));
  sasl::cleanse(finished.output);
  if (secret.empty())
    return fail(Error::Kind::refused,
                concat({"the password command \"", source.command.front(), "\" printed nothing"}));
  return secret;
}

SystemUser system_user() {
  SystemUser user;
  user.home = environment("HOME");
  if (const auto* entry = ::getpwuid(::getuid()); entry != nullptr) {
    user.name = entry->pw_name;
    user.full_name = std::string_view(entry->pw_gecos).substr(0, std::string_view(entry->pw_gecos).find(','));
    if (user.home.empty()) user.home = entry->pw_dir;
  }
  if (user.name.empty()) user.name = "uid" + decimal(::getuid());
  return user;
}

std::string default_accounts_path() {
  const auto base = environment("XDG_CONFIG_HOME");
  return (base.empty() ? system_user().home + "/.config" : base) + "/relais/mua.toml";
}

std::string default_outbox_path() {
  const auto base = environment("XDG_STATE_HOME");
  return (base.empty() ? system_user().home + "/.local/state" : base) + "/relais/outbox";
}

namespace {

using config::Node;

/// Fills one account from its table, noting each mistake.
class AccountReader {
 public:
  AccountReader(std::string& problems, AccountSettings& account) : problems_(problems), account_(account) {}

  void read(const Node::Section& section) {
    for (const auto& [key, node] : section) {
      const std::map<std::string_view, std::string*> texts{{"display_name", &account_.display_name},
                                                           {"address", &account_.address},
                                                           {"store", &account_.store},
                                                           {"submission", &account_.submission},
                                                           {"ca_file", &account_.ca_file},
                                                           {"sent", &account_.sent},
                                                           {"signature", &account_.signature},
                                                           {"password_file", &account_.password.file}};
      const std::map<std::string_view, SecretSource*> commands{
          {"password_command", &account_.password},
          {"submission_password_command", &account_.submission_password},
          {"oauth_token_command", &account_.oauth_token}};
      if (const auto text = texts.find(key); text != texts.end()) {
        take_text(key, node, *text->second);
      } else if (const auto command = commands.find(key); command != commands.end()) {
        take_list(key, node, command->second->command);
      } else {
        problem(node, concat({"unknown key \"", key, "\""}));
      }
    }
  }

 private:
  void problem(const Node& node, std::string_view what) {
    problems_ += concat({problems_.empty() ? "" : "\n", node.file, ":", decimal(node.line), ": ", what});
  }
  void take_text(std::string_view key, const Node& node, std::string& to) {
    if (const auto* text = std::get_if<std::string>(&node.value)) {
      to = *text;
    } else {
      problem(node, concat({key, " must be a text"}));
    }
  }
  void take_list(std::string_view key, const Node& node, std::vector<std::string>& to) {
    const auto* list = std::get_if<Node::List>(&node.value);
    if (list == nullptr)
      return problem(node, concat({key, " must be a list of words, e.g. [\"pass\", \"show\", \"mail\"]"}));
    for (const auto& word : *list) {
      to.emplace_back();
      take_text(key, word, to.back());
    }
  }
  std::string& problems_;
  AccountSettings& account_;
};

}  // namespace

Result<Accounts> parse_accounts(std::string_view toml, const std::string& file) {
  auto document = config::parse_toml(toml, file);
  if (!document) return fail(Error::Kind::syntax, config::to_string(document.error()));
  Accounts out;
  std::string problems;
  const auto problem = [&](const Node& node, std::string_view what) {
    problems += concat({problems.empty() ? "" : "\n", node.file, ":", decimal(node.line), ": ", what});
  };
  for (const auto& [key, node] : std::get<Node::Section>(document->value)) {
    const auto* tables = std::get_if<Node::Section>(&node.value);
    if (key == "default" && std::holds_alternative<std::string>(node.value)) {
      out.default_name = std::get<std::string>(node.value);
    } else if (key == "accounts" && tables != nullptr) {
      for (const auto& [name, table] : *tables) {
        auto& account = out.accounts.emplace_back();
        account.name = name;
        if (const auto* section = std::get_if<Node::Section>(&table.value)) {
          AccountReader(problems, account).read(*section);
        } else {
          problem(table, concat({"accounts.", name, " must be a table"}));
        }
      }
    } else {
      problem(node, concat({"unknown key \"", key, "\": \"default\" and [accounts.NAME] are known"}));
    }
  }
  if (!problems.empty()) return fail(Error::Kind::syntax, problems);
  return out;
}

Result<Accounts> load_accounts(const std::string& path) {
  const bool named = !path.empty();
  const auto used = named ? path : default_accounts_path();
  const auto text = read_file_at(used, 1U << 20U);
  if (!text) {
    if (!named && text.error().kind == Error::Kind::not_found) return Accounts{};
    return tl::unexpected(text.error());
  }
  return parse_accounts(*text, used);
}

Result<AccountSettings> Accounts::choose(std::string_view name) const {
  const auto wanted = name.empty() ? std::string_view(default_name) : name;
  if (wanted.empty()) {
    if (!accounts.empty()) return accounts.front();
    AccountSettings local;
    local.display_name = system_user().full_name;
    return local;
  }
  for (const auto& account : accounts)
    if (account.name == wanted) return account;
  return fail(Error::Kind::syntax, concat({"there is no account \"", wanted, "\" in mua.toml"}));
}

}  // namespace mail::mua
