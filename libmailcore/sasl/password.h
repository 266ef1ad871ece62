// Stored passwords, each in the words of Dovecot's `doveadm pw`: {SCHEME}data, {SCHEME.b64}data or {SCHEME.hex}data.
// Known: PLAIN CLEAR CLEARTEXT CRYPT (and its names DES-CRYPT MD5-CRYPT SHA256-CRYPT SHA512-CRYPT BLF-CRYPT), SHA SHA1
// SHA256 SHA512 SSHA SSHA256 SSHA512 SMD5 LDAP-MD5 PLAIN-MD5 PBKDF2 ARGON2I ARGON2ID SCRAM-SHA-1 SCRAM-SHA-256. A value
// without {SCHEME} is CRYPT, as in passwd-file.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mail::sasl {

/// Clears memory in a way that the compiler keeps.
void cleanse(std::string& secret) noexcept;

/// A string for secrets: cleared when it goes. Copies are to be made knowingly.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view octets) : octets_(octets) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : octets_(std::move(other.octets_)) { cleanse(other.octets_); }
  Secret& operator=(const Secret& other) {
    if (this != &other) cleanse(octets_), octets_ = other.octets_;
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) cleanse(octets_), octets_ = std::move(other.octets_), cleanse(other.octets_);
    return *this;
  }
  ~Secret() { cleanse(octets_); }
  const std::string& text() const { return octets_; }
  bool empty() const { return octets_.empty(); }

 private:
  std::string octets_;
};

enum class ScramHash { sha1, sha256 };

/// What a server keeps for SCRAM (RFC 5802 section 3).
struct ScramKeys {
  std::string salt;
  std::uint32_t iterations = 0;
  std::string stored_key;
  std::string server_key;
};

/// True where `password` is the one that `stored` was made of. Takes as long as the scheme's hash takes (0.1 s is
/// usual): for a worker thread.
/// @return syntax for a scheme that is unknown or data that is not of the scheme.
[[nodiscard]] Result<bool> verify_password(std::string_view stored, std::string_view password);

struct PasswordOptions {
  std::uint32_t rounds = 0;  ///< 0: the scheme's usual cost.
};
/// A new stored form with a random salt, e.g. make_password("CRYPT", …) -> "{CRYPT}$y$j9T$…". The default scheme is
/// CRYPT with yescrypt.
[[nodiscard]] Result<std::string> make_password(std::string_view scheme, std::string_view password,
                                                const PasswordOptions& options = {});
/// Whether the {SCHEME} of a stored password is one that verify_password() knows.
bool has_known_scheme(std::string_view stored);
/// The schemes that make_password() can write.
const std::vector<std::string_view>& password_schemes();

/// The password itself, where the scheme keeps it (PLAIN and its names): what CRAM-MD5 and APOP need.
std::optional<Secret> plain_secret(std::string_view stored);
/// SCRAM keys of a {SCRAM-SHA-…} of this hash, or computed from a plain secret with the salt given (4096 iterations).
std::optional<ScramKeys> scram_keys(std::string_view stored, ScramHash hash, std::string_view salt_for_plain);
ScramKeys make_scram_keys(ScramHash hash, std::string_view password, std::string_view salt, std::uint32_t iterations);

/// SASLprep (RFC 4013) of a password or user name as stored string, or nothing where it has prohibited characters or is
/// not UTF-8.
std::optional<std::string> saslprep(std::string_view text);

/// Compares in a time that depends on the lengths only.
bool equal_secrets(std::string_view a, std::string_view b);

}  // namespace mail::sasl
