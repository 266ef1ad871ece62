// Certificates and trust for many connections. Immutable once made: a reload makes a new one, running connections keep
// theirs.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

struct ssl_ctx_st;
struct ssl_st;

namespace mail::net {

/// A TLSA record (RFC 6698).
struct TlsaRecord {
  std::uint8_t usage = 0;
  std::uint8_t selector = 0;
  std::uint8_t matching = 0;
  std::string data;
};

/// What a client asks of the server's certificate.
struct TlsPeer {
  std::string hostname;  ///< SNI, and the name to verify. An address literal is verified as such, and no SNI is sent.
  std::string alias{};   ///< With dane: another name that the certificate may have (RFC 7672 section 3.2.2).
  enum class Verify {
    none,      ///< Opportunistic (RFC 7435): any certificate; TlsInfo says whether it would have verified.
    required,  ///< Chain and name must verify.
    dane,      ///< One of `tlsa` must match (RFC 7672).
  } verify = Verify::required;
  std::vector<TlsaRecord> tlsa;
  std::vector<std::string> alpn;  ///< Protocols offered, e.g. "imap".
  bool dns_id_only = false;       ///< The name must be a subjectAltName, never a Common Name (RFC 8461 section 4.2).
};

class TlsContext {
 public:
  /// A server's: every certificate with its key, chosen by SNI; TLS 1.2 and newer. An Error names the file and what is
  /// wrong with it (missing, unreadable, key does not match, expired is only a warning in `warnings`).
  /// @param earlier  the context this one replaces: session tickets made by it stay valid
  static Result<std::shared_ptr<const TlsContext>> server(const config::Tls& settings,
                                                          const TlsContext* earlier = nullptr,
                                                          std::vector<std::string>* warnings = nullptr);
  /// A client's: settings.ca_file or the system's authorities.
  static Result<std::shared_ptr<const TlsContext>> client(const config::Tls& settings);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* get() const { return contexts_.front().context; }
  bool is_server() const { return server_; }

 private:
  friend struct TlsContextMaker;
  struct Entry {
    ssl_ctx_st* context = nullptr;
    std::vector<std::string> names;  ///< dNSNames in lower case, "*.x" as they stand.
  };
  TlsContext() = default;
  static int on_server_name(ssl_st* ssl, int* alert, void* self);
  std::vector<Entry> contexts_;
  bool server_ = false;
};

/// What a finished handshake came to; for Received, logs and channel binding.
struct TlsInfo {
  std::string version;  ///< "TLSv1.3"
  std::string cipher;   ///< "TLS_AES_256_GCM_SHA384"
  int bits = 0;
  std::string server_name;  ///< SNI as sent or received.
  bool peer_verified = false;
  std::string verify_error;  ///< Why not, in OpenSSL's words.
  bool resumed = false;
};

/// Channel binding data of a finished handshake (RFC 5929 section 4, RFC 9266); empty where it is not defined for this
/// session.
std::string tls_server_end_point(ssl_st* ssl, bool as_server);
std::string tls_exporter(ssl_st* ssl);

}  // namespace mail::net
