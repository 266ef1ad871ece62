// OpenSSL on one descriptor: its many ways to say "later" and "no" made into one enumeration. Internal to net/.
#pragma once
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "base/freed.h"
#include "base/result.h"
#include "net/tls_context.h"

namespace mail::net {

class TlsStream {
 public:
  enum class Outcome {
    done,
    wants_read,   ///< Again when the descriptor is readable.
    wants_write,  ///< Again when it is writable.
    ended,        ///< close_notify came.
    truncated,    ///< FIN without close_notify.
    lost,         ///< Reset or another error of the socket.
    failed,       ///< Protocol or verification; error_text() says what.
  };
  struct Transfer {
    Outcome outcome;
    std::size_t octets = 0;
  };

  static Result<std::unique_ptr<TlsStream>> server(std::shared_ptr<const TlsContext> context, int fd);
  static Result<std::unique_ptr<TlsStream>> client(std::shared_ptr<const TlsContext> context, int fd,
                                                   const TlsPeer& peer);

  Outcome handshake();
  Transfer read(char* to, std::size_t most);
  Transfer write(const char* from, std::size_t octets);
  /// Sends close_notify as far as the socket takes it at once.
  void close_notify();
  bool holds_octets() const { return SSL_pending(ssl_.get()) > 0; }
  TlsInfo info() const;
  std::string exporter() const { return tls_exporter(ssl_.get()); }
  std::string server_end_point() const { return tls_server_end_point(ssl_.get(), is_server_); }
  const std::string& error_text() const { return error_text_; }

 private:
  TlsStream(std::shared_ptr<const TlsContext> context, SSL* ssl, bool is_server)
      : context_(std::move(context)), ssl_(ssl), is_server_(is_server) {}
  Outcome explain(int returned);

  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<SSL, Freed<SSL_free>> ssl_;
  bool is_server_;
  std::string error_text_;
};

/// OpenSSL's queued errors as one text; empties the queue.
std::string take_openssl_errors();

}  // namespace mail::net
