#include "net/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/freed.h"
#include "base/strings.h"
#include "net/tls_stream.h"

namespace mail::net {

using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;

struct TlsContextMaker {
  static std::shared_ptr<TlsContext> make(bool server) {
    std::shared_ptr<TlsContext> out(new TlsContext);
    out->server_ = server;
    return out;
  }
  static void add(TlsContext& to, Context context, std::vector<std::string> names) {
    to.contexts_.push_back({context.release(), std::move(names)});
  }
  static void choose_by_name(TlsContext& self) {
    for (const auto& entry : self.contexts_) {
      SSL_CTX_set_tlsext_servername_callback(entry.context, TlsContext::on_server_name);
      SSL_CTX_set_tlsext_servername_arg(entry.context, &self);
    }
  }
};

TlsContext::~TlsContext() {
  for (const auto& entry : contexts_) SSL_CTX_free(entry.context);
}

namespace {

tl::unexpected<Error> tls_error(Error::Kind kind, std::string_view what) {
  const auto cause = take_openssl_errors();
  return fail(kind, cause.empty() ? std::string(what) : concat({what, ": ", cause}));
}

Result<Context> new_context(const config::Tls& settings, bool server) {
  ERR_clear_error();
  Context context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (!context) return tls_error(Error::Kind::temporary, "TLS");
  SSL_CTX* c = context.get();
  SSL_CTX_set_min_proto_version(c, settings.minimum == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // An idle connection holds no record buffers (34 kB each way).
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);  // tickets resume sessions; the server keeps nothing
  if (!settings.ciphers.empty() && SSL_CTX_set_cipher_list(c, settings.ciphers.c_str()) != 1)
    return tls_error(Error::Kind::permanent, concat({"tls.ciphers \"", printable(settings.ciphers), "\""}));
  return context;
}

Status readable(const std::string& path, std::string_view role) {
  if (access(path.c_str(), R_OK) == 0) return {};
  const int number = errno;
  auto kind = number == EACCES ? Error::Kind::refused : Error::Kind::not_found;
  return fail(kind, concat({role, " ", path, ": ", std::strerror(number),
                            number == EACCES ? " (start as root, or let the service's user read it)"
                                             : " (see tls.certificates)"}));
}

std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> names;
  auto* alternatives =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; alternatives != nullptr && i < sk_GENERAL_NAME_num(alternatives); ++i) {
    const auto* name = sk_GENERAL_NAME_value(alternatives, i);
    if (name->type != GEN_DNS) continue;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    names.push_back(to_lower({text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))}));
  }
  GENERAL_NAMES_free(alternatives);
  return names;
}

Status load_certificate(SSL_CTX* context, const config::Certificate& files, std::vector<std::string>* warnings) {
  const auto& key = files.key.empty() ? files.certificate : files.key;
  MAIL_CHECK(readable(files.certificate, "certificate"));
  MAIL_CHECK(readable(key, "key"));
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1)
    return tls_error(Error::Kind::permanent, concat({"certificate ", files.certificate, " is no PEM certificate"}));
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
      return tls_error(Error::Kind::permanent,
                       concat({"key ", key, " does not belong to certificate ", files.certificate}));
    return tls_error(Error::Kind::permanent, concat({"key ", key, " is no PEM private key"}));
  }
  if (SSL_CTX_check_private_key(context) != 1)
    return tls_error(Error::Kind::permanent,
                     concat({"key ", key, " does not belong to certificate ", files.certificate}));
  if (warnings != nullptr && X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context))) < 0)
    warnings->push_back(concat({"certificate ", files.certificate, " has expired"}));
  return {};
}

constexpr std::size_t kTicketKeyOctets = 80;  // of OpenSSL 3.0: name 16, HMAC 32, AES 32

void set_tickets(SSL_CTX* context, const config::Tls& settings, const TlsContext* earlier) {
  static constexpr unsigned char kSessionContext[] = "relais";
  SSL_CTX_set_session_id_context(context, kSessionContext, sizeof kSessionContext - 1);
  if (!settings.session_tickets) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
    return;
  }
  unsigned char keys[kTicketKeyOctets];
  if (earlier != nullptr && SSL_CTX_get_tlsext_ticket_keys(earlier->get(), keys, sizeof keys) == 1)
    SSL_CTX_set_tlsext_ticket_keys(context, keys, sizeof keys);
  OPENSSL_cleanse(keys, sizeof keys);
}

bool name_matches(std::string_view pattern, std::string_view name) {
  if (!pattern.starts_with("*.")) return pattern == name;
  const auto dot = name.find('.');
  return dot != std::string_view::npos && dot > 0 && name.substr(dot) == pattern.substr(1);
}

}  // namespace

int TlsContext::on_server_name(SSL* ssl, int*, void* self) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  const auto wanted = to_lower(name);
  for (const auto& entry : static_cast<const TlsContext*>(self)->contexts_)
    for (const auto& pattern : entry.names)
      if (name_matches(pattern, wanted)) {
        SSL_set_SSL_CTX(ssl, entry.context);
        return SSL_TLSEXT_ERR_OK;
      }
  return SSL_TLSEXT_ERR_NOACK;  // an unknown name gets the first certificate: the client decides
}

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const config::Tls& settings, const TlsContext* earlier,
                                                             std::vector<std::string>* warnings) {
  if (settings.certificates.empty())
    return fail(Error::Kind::permanent, "no certificate: TLS needs at least one [[tls.certificates]]");
  const auto out = TlsContextMaker::make(true);
  for (const auto& files : settings.certificates) {
    MAIL_TRY(context, new_context(settings, true));
    SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    MAIL_CHECK(load_certificate(context.get(), files, warnings));
    set_tickets(context.get(), settings, earlier);
    auto names = names_of(SSL_CTX_get0_certificate(context.get()));
    TlsContextMaker::add(*out, std::move(context), std::move(names));
  }
  TlsContextMaker::choose_by_name(*out);
  return out;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const config::Tls& settings) {
  const auto out = TlsContextMaker::make(false);
  MAIL_TRY(context, new_context(settings, false));
  if (settings.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else {
    MAIL_CHECK(readable(settings.ca_file, "tls.ca_file"));
    if (SSL_CTX_load_verify_locations(context.get(), settings.ca_file.c_str(), nullptr) != 1)
      return tls_error(Error::Kind::permanent,
                       concat({"tls.ca_file ", settings.ca_file, " holds no PEM certificates"}));
  }
  SSL_CTX_dane_enable(context.get());
  SSL_CTX_dane_set_flags(context.get(), DANE_FLAG_NO_DANE_EE_NAMECHECKS);  // RFC 7671 section 5.1
  TlsContextMaker::add(*out, std::move(context), {});
  return out;
}

std::string tls_server_end_point(SSL* ssl, bool as_server) {
  const X509* certificate = as_server ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return {};
  int hash = NID_undef;
  X509_get_signature_info(const_cast<X509*>(certificate), &hash, nullptr, nullptr, nullptr);
  if (hash == NID_undef) return {};                            // e.g. Ed25519: no single hash function, so not defined
  if (hash == NID_md5 || hash == NID_sha1) hash = NID_sha256;  // RFC 5929 section 4.1
  const EVP_MD* digest = EVP_get_digestbynid(hash);
  unsigned char octets[EVP_MAX_MD_SIZE];
  unsigned count = 0;
  if (digest == nullptr || X509_digest(certificate, digest, octets, &count) != 1) return {};
  return {reinterpret_cast<char*>(octets), count};
}

std::string tls_exporter(SSL* ssl) {
  constexpr std::string_view kLabel = "EXPORTER-Channel-Binding";
  // With TLS 1.2 it is unique only under the extended master secret (RFC 9266 section 3).
  if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1) return {};
  unsigned char octets[32];
  if (SSL_export_keying_material(ssl, octets, sizeof octets, kLabel.data(), kLabel.size(), nullptr, 0, 0) != 1)
    return {};
  return {reinterpret_cast<char*>(octets), sizeof octets};
}

}  // namespace mail::net
