// The server side of a SASL exchange (RFC 4422): octets of the client in, what to do next out. No sockets, users or
// threads; base64 is the protocol's. Programs use directory/login.h, which drives this and knows the users.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "sasl/channel.h"
#include "sasl/password.h"

namespace mail::sasl {

/// Send `octets` (base64 in SMTP, IMAP and POP3), then step() with the client's response. May be empty.
struct Challenge {
  std::string octets;
};
/// Verify this password (PLAIN, LOGIN), then decide(). An empty authzid is the authcid itself.
struct CheckPassword {
  std::string authcid;
  std::string authzid;
  Secret password;
};
/// Look up what SCRAM needs for this user, then give_keys(). For an unknown user give made-up keys: the exchange then
/// fails at its end only.
struct NeedScramKeys {
  std::string authcid;
  ScramHash hash;
};
/// Look up the plain password (CRAM-MD5), then give_secret(). Without one give nothing.
struct NeedSecret {
  std::string authcid;
};
/// The client is who it says; may it act as `authzid`? That is the caller's to decide (equal to authcid, or a master
/// user).
struct Success {
  std::string authcid;
  std::string authzid;
};
struct Failure {
  bool malformed = false;  ///< The client broke the grammar (501), rather than gave wrong credentials (535).
  std::string text;        ///< For the log; never tells which of name and password was wrong.
};
using ServerStep = std::variant<Challenge, CheckPassword, NeedScramKeys, NeedSecret, Success, Failure>;

/// One exchange. The final octets of SCRAM come as a Challenge that the client answers with an empty response, as
/// protocols without "additional data with success" want it (RFC 4422 section 5).
class ServerExchange {
 public:
  virtual ~ServerExchange() = default;
  /// The client's first word: its initial response, or nothing where it sent none (an empty one is different: "=" in
  /// the protocols).
  virtual ServerStep start(std::optional<std::string_view> initial_response) = 0;
  /// The response to a Challenge, decoded.
  virtual ServerStep step(std::string_view response) = 0;
  virtual ServerStep decide(bool accepted);                             ///< Answers CheckPassword.
  virtual ServerStep give_keys(const ScramKeys& keys, bool known);      ///< Answers NeedScramKeys.
  virtual ServerStep give_secret(const std::optional<Secret>& secret);  ///< Answers NeedSecret.
};

struct ServerPolicy {
  /// Enabled names, in order of announcement. -PLUS variants go with their base name where the channel has binding
  /// data.
  std::vector<std::string> mechanisms{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"};
  bool allow_plaintext = false;     ///< PLAIN and LOGIN also without encryption.
  std::string host_name;            ///< For CRAM-MD5's challenge.
  bool channel_binding = true;      ///< SCRAM-…-PLUS where the channel has binding data.
  bool keep_plain_secrets = false;  ///< The users' passwords are known in clear: CRAM-MD5 may be announced.
};
/// What to announce on this channel (AUTH=, SASL): EXTERNAL only where the channel has an identity, SCRAM-…-PLUS only
/// with binding data.
std::vector<std::string> announced_mechanisms(const ServerPolicy& policy, const Channel& channel);
/// Every name that the policy may announce with valid keys is known here.
bool is_known_mechanism(std::string_view name);

/// Begins an exchange. `mechanism` without regard to case. @return not_found for one that is not announced on this
/// channel, refused for one that needs encryption first (538 in SMTP).
[[nodiscard]] Result<std::unique_ptr<ServerExchange>> begin_server(std::string_view mechanism,
                                                                   const ServerPolicy& policy, const Channel& channel);

}  // namespace mail::sasl
