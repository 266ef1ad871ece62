// What a mechanism may know of the connection that carries it: octets that net/ has taken from TLS, no TLS here.
#pragma once
#include <string>

namespace mail::sasl {

/// The connection as the mechanisms see it. All empty for a connection in clear text.
struct Channel {
  bool encrypted = false;    ///< TLS, or a transport that nobody can listen to (a Unix socket, a pipe).
  std::string tls_exporter;  ///< RFC 9266 channel binding data (32 octets); empty where TLS cannot give it safely.
  std::string tls_server_end_point;  ///< RFC 5929 section 4: hash of the server's certificate.
  std::string external_identity;     ///< Server: the account that a verified client certificate stands for (EXTERNAL);
                                     ///< empty: none.
};

}  // namespace mail::sasl
