// password, watch.
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "base/strings.h"
#include "mua/context.h"
#include "mua/render.h"
#include "mua/text.h"
#include "sasl/password.h"

namespace mail::mua {

namespace {

/// One line from standard input; a terminal does not show it.
std::string ask(std::string_view prompt) {
  termios before{};
  const bool terminal = ::tcgetattr(STDIN_FILENO, &before) == 0;
  if (terminal) {
    std::cerr << prompt << std::flush;
    auto silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  std::string line;
  std::getline(std::cin, line);
  if (terminal) {
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    std::cerr << "\n";
  }
  return line;
}

int password(const Context& context, const std::string& scheme) {
  auto first = ask("Password: ");
  if (first.empty()) return complain("an empty password is none", EX_USAGE);
  if (::isatty(STDIN_FILENO) != 0) {
    auto second = ask("Again: ");
    const bool same = first == second;
    sasl::cleanse(second);
    if (!same) return complain("the two are not the same", EX_DATAERR);
  }
  const auto stored = sasl::make_password(scheme, first);
  sasl::cleanse(first);
  if (!stored) return complain(stored.error());
  print(context.json ? Json::object({{"password", Json::string(*stored)}}) + "\n" : *stored + "\n");
  return 0;
}

/// Prints each new message as it comes, until interrupted.
int watch(const Context& context, bool once) {
  auto source = context.source(true);
  if (!source) return complain(source.error());
  auto ids = (*source)->ids();
  if (!ids) return complain(ids.error());
  auto newest = ids->empty() ? 0U : ids->back();
  for (;;) {
    if (const auto waited = (*source)->wait_for_change(); !waited) return complain(waited.error());
    ids = (*source)->ids();
    if (!ids) return complain(ids.error());
    std::erase_if(*ids, [&](std::uint32_t id) { return id <= newest; });
    if (ids->empty()) continue;
    newest = ids->back();
    const auto items = (*source)->items(*ids);
    if (!items) return complain(items.error());
    for (const auto& item : *items)
      if (!print(context.json ? item_json(item) + "\n" : item_line(item, 1000))) return EX_IOERR;
    if (once) return 0;
  }
}

}  // namespace

void add_tool_commands(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("password", "Ask for a password and print its hash for a users file");
  auto scheme = std::make_shared<std::string>("CRYPT");
  command->add_option("--scheme", *scheme, "CRYPT, SCRAM-SHA-256, ARGON2ID, PBKDF2, SSHA, PLAIN, …")
      ->capture_default_str();
  command->callback([&context, scheme] {
    context.needs_account = false;
    context.run = [&context, scheme] { return password(context, *scheme); };
  });

  command = app.add_subcommand("watch", "Wait for new messages and list each as it comes");
  auto once = std::make_shared<bool>(false);
  command->add_flag("--once", *once, "End after the first");
  command->callback([&context, once] { context.run = [&context, once] { return watch(context, *once); }; });
}

}  // namespace mail::mua
