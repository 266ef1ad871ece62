#include "sasl/digest.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "base/strings.h"

namespace mail::sasl {
namespace {
const unsigned char* octets_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* octets_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
}  // namespace

std::string digest(const EVP_MD* algorithm, std::string_view octets) {
  std::string out(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  EVP_Digest(octets.data(), octets.size(), octets_of(out), &length, algorithm, nullptr);
  out.resize(length);
  return out;
}

std::string hmac(const EVP_MD* algorithm, std::string_view key, std::string_view octets) {
  std::string out(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  HMAC(algorithm, key.data(), static_cast<int>(key.size()), octets_of(octets), octets.size(), octets_of(out), &length);
  out.resize(length);
  return out;
}

std::string pbkdf2(const EVP_MD* algorithm, std::string_view password, std::string_view salt, std::uint32_t iterations,
                   std::size_t octets) {
  std::string out(octets, '\0');
  PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), octets_of(salt), static_cast<int>(salt.size()),
                    static_cast<int>(iterations), algorithm, static_cast<int>(octets), octets_of(out));
  return out;
}

const EVP_MD* algorithm_of(ScramHash hash) { return hash == ScramHash::sha1 ? EVP_sha1() : EVP_sha256(); }

std::string cram_md5(std::string_view secret, std::string_view challenge) {
  return to_hex(hmac(EVP_md5(), secret, challenge));
}

bool equal_secrets(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void cleanse(std::string& secret) noexcept {
  // The whole capacity: shorter content may have moved over longer.
  if (secret.capacity() != 0) OPENSSL_cleanse(secret.data(), secret.capacity());
  secret.clear();
}

}  // namespace mail::sasl
