// COMPRESS (RFC 4978).
#include <array>

#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

Completion compress(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(mechanism, arguments.atom());
  IMAPD_CHECK(arguments.end());
  if (!iequals(mechanism, "DEFLATE")) return no("[CANNOT] Unknown compression");
  if (session.compressed()) return no("[COMPRESSIONACTIVE] DEFLATE is active already");
  session.request(Session::Next::compress);
  return ok("DEFLATE active");
}

constexpr std::array kCompressCommands{
    Command{.name = "COMPRESS", .run = compress, .capability = "COMPRESS=DEFLATE", .ascii = true},
};

}  // namespace

std::span<const Command> compress_commands() { return kCompressCommands; }

}  // namespace mail::imapd
