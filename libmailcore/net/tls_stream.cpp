#include "net/tls_stream.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <cstring>

#include "base/ip_address.h"
#include "base/strings.h"

namespace mail::net {

std::string take_openssl_errors() {
  std::string out;
  while (const auto code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (reason == nullptr) continue;
    if (!out.empty()) out += ": ";
    out += reason;
  }
  return out;
}

Result<std::unique_ptr<TlsStream>> TlsStream::server(std::shared_ptr<const TlsContext> context, int fd) {
  ERR_clear_error();
  SSL* ssl = SSL_new(context->get());
  if (ssl == nullptr || SSL_set_fd(ssl, fd) != 1) {
    SSL_free(ssl);
    return fail(Error::Kind::temporary, "TLS: " + take_openssl_errors());
  }
  SSL_set_accept_state(ssl);
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(context), ssl, true));
}

namespace {

/// The names and records to check; false where OpenSSL refuses one of them.
bool set_expectations(SSL* ssl, const TlsPeer& peer) {
  const auto address = IpAddress::parse(peer.hostname);
  if (!address && !peer.hostname.empty() && SSL_set_tlsext_host_name(ssl, peer.hostname.c_str()) != 1) return false;
  if (peer.verify == TlsPeer::Verify::dane) {
    if (SSL_dane_enable(ssl, peer.hostname.c_str()) != 1) return false;
    if (!peer.alias.empty() && SSL_add1_host(ssl, peer.alias.c_str()) != 1) return false;
    int usable = 0;
    for (const auto& record : peer.tlsa)
      usable += SSL_dane_tlsa_add(ssl, record.usage, record.selector, record.matching,
                                  reinterpret_cast<const unsigned char*>(record.data.data()), record.data.size()) > 0
                    ? 1
                    : 0;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    // Without a usable record the channel is encrypted but not authenticated (RFC 7672 section 2.2).
    SSL_set_verify(ssl, usable > 0 ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
    return true;
  }
  SSL_set_verify(ssl, peer.verify == TlsPeer::Verify::required ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (address)
    return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl),
                                     reinterpret_cast<const unsigned char*>(address->octets().data()),
                                     address->octets().size()) == 1;
  SSL_set_hostflags(
      ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | (peer.dns_id_only ? X509_CHECK_FLAG_NEVER_CHECK_SUBJECT : 0U));
  return peer.hostname.empty() || SSL_set1_host(ssl, peer.hostname.c_str()) == 1;
}

bool offer_protocols(SSL* ssl, const std::vector<std::string>& protocols) {
  std::string wire;
  for (const auto& protocol : protocols) wire += concat({std::string(1, static_cast<char>(protocol.size())), protocol});
  return wire.empty() || SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(wire.data()),
                                             static_cast<unsigned>(wire.size())) == 0;
}

}  // namespace

Result<std::unique_ptr<TlsStream>> TlsStream::client(std::shared_ptr<const TlsContext> context, int fd,
                                                     const TlsPeer& peer) {
  ERR_clear_error();
  SSL* ssl = SSL_new(context->get());
  if (ssl == nullptr || SSL_set_fd(ssl, fd) != 1 || !set_expectations(ssl, peer) || !offer_protocols(ssl, peer.alpn)) {
    SSL_free(ssl);
    return fail(Error::Kind::temporary, concat({"TLS with ", printable(peer.hostname), ": ", take_openssl_errors()}));
  }
  SSL_set_connect_state(ssl);
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(context), ssl, false));
}

TlsStream::Outcome TlsStream::explain(int returned) {
  const int saved = errno;
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_NONE:
      return Outcome::done;
    case SSL_ERROR_WANT_READ:
      return Outcome::wants_read;
    case SSL_ERROR_WANT_WRITE:
      return Outcome::wants_write;
    case SSL_ERROR_ZERO_RETURN:
      return Outcome::ended;
    case SSL_ERROR_SYSCALL:
      error_text_ = saved == 0 ? "connection ended" : std::strerror(saved);
      return Outcome::lost;
    default:
      break;
  }
  if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    error_text_ = "ended without close_notify";
    return Outcome::truncated;
  }
  error_text_ = take_openssl_errors();
  const long verified = SSL_get_verify_result(ssl_.get());
  if (verified != X509_V_OK) error_text_ += concat({": ", X509_verify_cert_error_string(verified)});
  return Outcome::failed;
}

TlsStream::Outcome TlsStream::handshake() {
  ERR_clear_error();
  errno = 0;
  return explain(SSL_do_handshake(ssl_.get()));
}

TlsStream::Transfer TlsStream::read(char* to, std::size_t most) {
  ERR_clear_error();
  errno = 0;
  std::size_t octets = 0;
  const int returned = SSL_read_ex(ssl_.get(), to, most, &octets);
  return {returned == 1 ? Outcome::done : explain(returned), octets};
}

TlsStream::Transfer TlsStream::write(const char* from, std::size_t octets) {
  ERR_clear_error();
  errno = 0;
  std::size_t written = 0;
  const int returned = SSL_write_ex(ssl_.get(), from, octets, &written);
  return {returned == 1 ? Outcome::done : explain(returned), written};
}

void TlsStream::close_notify() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

TlsInfo TlsStream::info() const {
  TlsInfo out;
  out.version = SSL_get_version(ssl_.get());
  out.cipher = SSL_get_cipher_name(ssl_.get());
  out.bits = SSL_get_cipher_bits(ssl_.get(), nullptr);
  if (const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)) out.server_name = name;
  const long verified = SSL_get_verify_result(ssl_.get());
  out.peer_verified = SSL_get0_peer_certificate(ssl_.get()) != nullptr && verified == X509_V_OK;
  if (!out.peer_verified)
    out.verify_error = verified == X509_V_OK ? "no certificate" : X509_verify_cert_error_string(verified);
  out.resumed = SSL_session_reused(ssl_.get()) == 1;
  return out;
}

}  // namespace mail::net
