#include "mda/pipe_mode.h"

#include <unistd.h>

#include <array>

#include "base/log.h"
#include "base/strings.h"
#include "mda/addressed.h"
#include "mda/environment.h"
#include "mda/message_text.h"

namespace mail::mda {
namespace {

std::string without_brackets(std::string_view path) {
  path = trim(path);
  if (path.starts_with('<') && path.ends_with('>')) path = path.substr(1, path.size() - 2);
  return one_line(path);
}

}  // namespace

Result<std::string> read_message(int fd, std::uint64_t most) {
  std::string message;
  std::array<char, 65536> buffer;
  for (;;) {
    const auto count = read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read", "standard input");
    if (count == 0) return message;
    message.append(buffer.data(), static_cast<std::size_t>(count));
    if (most != 0 && message.size() > most)
      return fail(Error::Kind::permanent, "the message is larger than smtp.message_octets");
  }
}

Outcome deliver_one(const config::Settings& settings, const PipeOptions& options, std::string_view message) {
  // An agent in front may have put our Delivered-To on top, and a fetched message may carry the one of its former
  // mailbox: only a second one is a loop.
  auto environment = Environment::open(
      settings, false, {.loop_limit = 2, .as_root = options.as_root, .config_paths = options.config_paths});
  if (!environment) return temporary("4.3.5", environment.error().text);
  const auto name = options.user.empty() ? own_name() : options.user;
  auto addressed = find_addressed(**environment, name);
  if (!addressed) return outcome_of(addressed.error());
  if (!*addressed) return permanent("5.1.1", concat({"no such user: ", printable(name)}));
  auto& [user, detail] = **addressed;
  if (!options.as_root)
    if (const auto status = become(user, settings.run); !status) return temporary("4.3.5", status.error().text);

  std::string sender = options.sender ? without_brackets(*options.sender) : "";
  std::string named;
  const auto content = without_envelope_lines(message, named);
  if (!options.sender) sender = named;
  Addressee to{.forward_path = one_line(options.delivered_to),
               .user = user.name,
               .detail = options.extension.empty() ? detail : options.extension,
               .mailbox = options.mailbox,
               .key = options.id};
  const auto& domains = (*environment)->users->domains();
  if (to.forward_path.empty())
    to.forward_path = user.name.find('@') != std::string::npos || domains.empty()
                          ? user.name
                          : concat({user.name, "@", domains.front()});
  const Item item{.content = content,
                  .reverse_path = sender,
                  .received = {},
                  .addressees = {to},
                  .repeated = true,
                  .require_tls = options.require_tls,
                  .smtputf8 = options.smtputf8};
  auto outcome = (*environment)->agent->deliver(std::span(&item, 1))[0][0];
  log_event(outcome.ok() ? LogLevel::info : LogLevel::warning,
            outcome.ok()                               ? "delivered"
            : outcome.kind == Outcome::Kind::temporary ? "delivery_deferred"
                                                       : "delivery_failed",
            {{"id", options.id},
             {"from", sender},
             {"to", to.forward_path},
             {"user", user.name},
             {"status", outcome.status},
             {"text", outcome.text},
             {"octets", message.size()}});
  return outcome;
}

}  // namespace mail::mda
