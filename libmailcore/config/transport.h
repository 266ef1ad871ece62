// How mail goes on: the value of a route, in relais.toml as in maps. One line, so that it is the same in TOML, in a
// text file and in a database. relais.toml(5) has the grammar.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/values.h"

namespace mail::config {

struct Transport {
  enum class Kind {
    mx,       ///< `mx:` by the MX of the recipient's domain, `mx:DOMAIN` of another one.
    smtp,     ///< `smtp:HOST:PORT`, `HOST:PORT`: one host, and no MX.
    lmtp,     ///< `lmtp:HOST:PORT`, `lmtp:unix:/PATH`.
    pipe,     ///< `pipe: user=NAME /PROGRAM ARGUMENT ...`: mda runs it.
    local,    ///< `local:` the user of the local part, `local:USER` that user.
    discard,  ///< `discard:` taken and thrown away.
    error,    ///< `error:TEXT`, `error:5.1.6 TEXT`, `error:4.3.2 TEXT`: refused.
  } kind = Kind::smtp;
  std::string name;       ///< As written, or its name in relay.transports. What has the same name shares a queue.
  std::string domain;     ///< mx: whose MX; empty: the recipient's domain.
  Endpoint host;          ///< smtp, lmtp.
  std::string tls;        ///< `tls=`: none, opportunistic, required, implicit; empty: as relay.tls says.
  std::string auth_user;  ///< `auth=`: whom to log in as; empty: no log-in.
  std::string auth_file;  ///< `password_file=`: its first line is the password.
  Strings source;         ///< `source=`, may be given once per address family; empty: relay.source_address.
  std::string family;     ///< `family=`: as relay.address_family; empty: what that says.
  Strings argv;           ///< pipe: %s sender, %r recipient, %n its local part, %d its domain, %e detail.
  std::string run_as;     ///< pipe: `user=`; empty: the user that mda runs as.
  int code = 0;           ///< error: 550 or 450.
  std::string enhanced;   ///< error: "5.7.1".
  std::string text;       ///< error, local: what stands behind the colon.
  bool operator==(const Transport&) const = default;

  /// @return syntax with what is wrong and what was meant, as the end of a sentence that names the key.
  static Result<Transport> parse(std::string_view text);
  /// A value that may also be a NAME of `named` (relay.transports).
  static Result<Transport> parse(std::string_view text, const Table& named);
};

}  // namespace mail::config
