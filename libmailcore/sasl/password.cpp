#include "sasl/password.h"

#include <argon2.h>
#include <crypt.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "base/id.h"
#include "base/strings.h"
#include "sasl/digest.h"

namespace mail::sasl {
namespace {

constexpr std::uint32_t kScramRounds = 4096;     // RFC 7677 section 4
constexpr std::uint32_t kPbkdf2Rounds = 5000;    // doveadm pw's default
constexpr std::uint32_t kMostRounds = 10000000;  // more than that in a file is an accident
constexpr std::size_t kPbkdf2Octets = 20;
constexpr std::uint32_t kArgonKibibytes = 64 * 1024;
constexpr std::uint32_t kArgonPasses = 3;

struct Stored {
  std::string scheme;    // upper case, without encoding suffix
  std::string encoding;  // "", "B64", "HEX"
  std::string_view data;
};

Stored take_apart(std::string_view stored) {
  if (!stored.starts_with('{')) return {"CRYPT", "", stored};
  const auto end = stored.find('}');
  if (end == std::string_view::npos) return {"CRYPT", "", stored};
  const auto [name, encoding] = split_once(stored.substr(1, end - 1), '.');
  auto upper = to_upper(encoding);
  return {to_upper(name), upper == "BASE64" ? "B64" : upper, stored.substr(end + 1)};
}

tl::unexpected<Error> malformed(std::string_view scheme) {
  return fail(Error::Kind::syntax, concat({"stored password: not of the form of {", scheme, "}"}));
}

/// The octets of a binary scheme: as the suffix says; else hexadecimal where the length says so, as Dovecot decides;
/// else base64.
std::optional<std::string> decode(const Stored& stored, std::size_t hash_octets) {
  if (stored.encoding == "HEX" || (stored.encoding.empty() && stored.data.size() == hash_octets * 2))
    if (auto octets = from_hex(stored.data); octets || stored.encoding == "HEX") return octets;
  return from_base64(stored.data);
}

/// Text schemes may be encoded as well ({PLAIN.b64}).
std::optional<std::string> decode_text(const Stored& stored) {
  if (stored.encoding == "HEX") return from_hex(stored.data);
  if (stored.encoding == "B64") return from_base64(stored.data);
  return std::string(stored.data);
}

/// What the simple digests differ in.
struct DigestScheme {
  std::string_view name;
  const EVP_MD* (*algorithm)();
  bool salted;
  bool hexadecimal;
};
constexpr std::array kDigests{
    DigestScheme{"LDAP-MD5", EVP_md5, false, false},  DigestScheme{"PLAIN-MD5", EVP_md5, false, true},
    DigestScheme{"SHA", EVP_sha1, false, false},      DigestScheme{"SHA1", EVP_sha1, false, false},
    DigestScheme{"SHA256", EVP_sha256, false, false}, DigestScheme{"SHA512", EVP_sha512, false, false},
    DigestScheme{"SMD5", EVP_md5, true, false},       DigestScheme{"SSHA", EVP_sha1, true, false},
    DigestScheme{"SSHA256", EVP_sha256, true, false}, DigestScheme{"SSHA512", EVP_sha512, true, false},
};
const DigestScheme* find_digest(std::string_view name) {
  const auto found = std::ranges::find(kDigests, name, &DigestScheme::name);
  return found == kDigests.end() ? nullptr : &*found;
}
constexpr std::array<std::string_view, 6> kCryptNames{"CRYPT",        "DES-CRYPT",    "MD5-CRYPT",
                                                      "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT"};
bool is_crypt(std::string_view scheme) { return std::ranges::find(kCryptNames, scheme) != kCryptNames.end(); }
bool is_plain(std::string_view scheme) { return scheme == "PLAIN" || scheme == "CLEAR" || scheme == "CLEARTEXT"; }

/// crypt_r(3) by libxcrypt. An empty result: the setting is not known or the password cannot be hashed.
std::string crypt_with(std::string_view password, std::string_view setting) {
  const auto data = std::make_unique<crypt_data>();  // 32 kB: not for the stack of a worker
  Secret phrase(password);
  const std::string text(setting);
  const char* hash = crypt_rn(phrase.text().c_str(), text.c_str(), data.get(), sizeof(crypt_data));
  std::string out = hash != nullptr ? hash : "";
  explicit_bzero(data.get(), sizeof(crypt_data));
  return out;
}

Result<bool> verify_digest(const DigestScheme& scheme, const Stored& stored, std::string_view password) {
  const auto hash_octets = static_cast<std::size_t>(EVP_MD_get_size(scheme.algorithm()));
  const auto octets =
      scheme.hexadecimal && stored.encoding.empty() ? from_hex(stored.data) : decode(stored, hash_octets);
  if (!octets || octets->size() < hash_octets || (!scheme.salted && octets->size() != hash_octets))
    return malformed(scheme.name);
  Secret input(concat({password, std::string_view(*octets).substr(hash_octets)}));
  return equal_secrets(digest(scheme.algorithm(), input.text()), std::string_view(*octets).substr(0, hash_octets));
}

/// `$1$salt$rounds$hex`: PBKDF2 with HMAC-SHA-1, the salt as it stands.
Result<bool> verify_pbkdf2(std::string_view data, std::string_view password) {
  const auto fields = split(data, '$');
  if (fields.size() != 5 || !fields[0].empty() || fields[1] != "1") return malformed("PBKDF2");
  const auto rounds = parse_decimal<std::uint32_t>(fields[3]);
  const auto hash = from_hex(fields[4]);
  if (!rounds || *rounds == 0 || *rounds > kMostRounds || !hash || hash->size() != kPbkdf2Octets)
    return malformed("PBKDF2");
  return equal_secrets(pbkdf2(EVP_sha1(), password, fields[2], *rounds, kPbkdf2Octets), *hash);
}

Result<bool> verify_argon(std::string_view data, std::string_view password) {
  const auto type = data.starts_with("$argon2id$") ? Argon2_id : data.starts_with("$argon2i$") ? Argon2_i : Argon2_d;
  const int outcome = argon2_verify(std::string(data).c_str(), password.data(), password.size(), type);
  if (outcome == ARGON2_OK) return true;
  if (outcome == ARGON2_VERIFY_MISMATCH) return false;
  if (outcome == ARGON2_MEMORY_ALLOCATION_ERROR) return fail(Error::Kind::temporary, "argon2: no memory");
  return malformed("ARGON2");
}

std::optional<ScramKeys> parse_scram(std::string_view data) {
  const auto fields = split(data, ',');
  if (fields.size() != 4) return std::nullopt;
  const auto iterations = parse_decimal<std::uint32_t>(fields[0]);
  auto salt = from_base64(fields[1]), stored = from_base64(fields[2]), server = from_base64(fields[3]);
  if (!iterations || *iterations == 0 || *iterations > kMostRounds || !salt || !stored || !server) return std::nullopt;
  return ScramKeys{std::move(*salt), *iterations, std::move(*stored), std::move(*server)};
}

Result<bool> verify_scram(ScramHash hash, std::string_view data, std::string_view password) {
  const auto keys = parse_scram(data);
  if (!keys) return malformed("SCRAM");
  const auto prepared = saslprep(password);
  if (!prepared) return false;
  return equal_secrets(make_scram_keys(hash, *prepared, keys->salt, keys->iterations).stored_key, keys->stored_key);
}

std::string salt_text(std::size_t characters) {
  static constexpr std::string_view kAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  auto salt = random_octets(characters);
  for (auto& c : salt) c = kAlphabet[static_cast<unsigned char>(c) % kAlphabet.size()];
  return salt;
}

Result<std::string> make_crypt(std::string_view scheme, std::string_view password, std::uint32_t rounds) {
  struct Prefix {
    std::string_view scheme, prefix;
  };
  static constexpr std::array kPrefixes{Prefix{"CRYPT", "$y$"}, Prefix{"MD5-CRYPT", "$1$"},
                                        Prefix{"SHA256-CRYPT", "$5$"}, Prefix{"SHA512-CRYPT", "$6$"},
                                        Prefix{"BLF-CRYPT", "$2y$"}};
  const auto found = std::ranges::find(kPrefixes, scheme, &Prefix::scheme);
  if (found == kPrefixes.end())
    return fail(Error::Kind::not_found, concat({"{", scheme, "} is too weak to be made anew"}));
  if (password.find('\0') != std::string_view::npos) return fail(Error::Kind::syntax, "a password may not hold NUL");
  std::array<char, CRYPT_GENSALT_OUTPUT_SIZE> setting{};
  const auto random = random_octets(32);
  if (crypt_gensalt_rn(std::string(found->prefix).c_str(), rounds, random.data(), static_cast<int>(random.size()),
                       setting.data(), static_cast<int>(setting.size())) == nullptr)
    return fail(Error::Kind::syntax,
                concat({"crypt: rounds=", decimal(rounds), " is not possible for {", scheme, "}"}));
  auto hash = crypt_with(password, setting.data());
  if (hash.empty() || hash.starts_with('*'))
    return fail(Error::Kind::permanent, concat({"crypt failed for {", scheme, "}"}));
  return concat({"{", scheme, "}", hash});
}

Result<std::string> make_argon(std::string_view scheme, std::string_view password, std::uint32_t rounds) {
  const auto type = scheme == "ARGON2ID" ? Argon2_id : Argon2_i;
  const auto salt = random_octets(16);
  const auto passes = rounds != 0 ? rounds : kArgonPasses;
  std::string out(argon2_encodedlen(passes, kArgonKibibytes, 1, 16, 32, type), '\0');
  const int outcome = type == Argon2_id
                          ? argon2id_hash_encoded(passes, kArgonKibibytes, 1, password.data(), password.size(),
                                                  salt.data(), 16, 32, out.data(), out.size())
                          : argon2i_hash_encoded(passes, kArgonKibibytes, 1, password.data(), password.size(),
                                                 salt.data(), 16, 32, out.data(), out.size());
  if (outcome != ARGON2_OK) return fail(Error::Kind::temporary, concat({"argon2: ", argon2_error_message(outcome)}));
  out.resize(std::string_view(out.c_str()).size());
  return concat({"{", scheme, "}", out});
}

Result<std::string> make_scram(std::string_view scheme, std::string_view password, std::uint32_t rounds) {
  const auto prepared = saslprep(password);
  if (!prepared) return fail(Error::Kind::syntax, "the password has characters that SASLprep (RFC 4013) prohibits");
  const auto hash = scheme == "SCRAM-SHA-1" ? ScramHash::sha1 : ScramHash::sha256;
  const auto keys = make_scram_keys(hash, *prepared, random_octets(16), rounds != 0 ? rounds : kScramRounds);
  return concat({"{", scheme, "}", decimal(keys.iterations), ",", to_base64(keys.salt), ",", to_base64(keys.stored_key),
                 ",", to_base64(keys.server_key)});
}

}  // namespace

ScramKeys make_scram_keys(ScramHash hash, std::string_view password, std::string_view salt, std::uint32_t iterations) {
  const auto* algorithm = algorithm_of(hash);
  const auto length = static_cast<std::size_t>(EVP_MD_get_size(algorithm));
  Secret salted(pbkdf2(algorithm, password, salt, iterations, length));
  Secret client_key(hmac(algorithm, salted.text(), "Client Key"));
  return {std::string(salt), iterations, digest(algorithm, client_key.text()),
          hmac(algorithm, salted.text(), "Server Key")};
}

Result<bool> verify_password(std::string_view stored, std::string_view password) {
  const auto parts = take_apart(stored);
  if (is_crypt(parts.scheme)) {
    // "*" and "!" in front lock an account; crypt's failure token never equals a setting, and an empty field never
    // matches.
    if (parts.data.empty() || password.find('\0') != std::string_view::npos) return false;
    const auto hash = crypt_with(password, parts.data);
    return !hash.empty() && !hash.starts_with('*') && equal_secrets(hash, parts.data);
  }
  if (is_plain(parts.scheme)) {
    const auto text = decode_text(parts);
    if (!text) return malformed(parts.scheme);
    return equal_secrets(*text, password);
  }
  if (const auto* scheme = find_digest(parts.scheme)) return verify_digest(*scheme, parts, password);
  if (parts.scheme == "PBKDF2") return verify_pbkdf2(parts.data, password);
  if (parts.scheme == "ARGON2ID" || parts.scheme == "ARGON2I") return verify_argon(parts.data, password);
  if (parts.scheme == "SCRAM-SHA-1") return verify_scram(ScramHash::sha1, parts.data, password);
  if (parts.scheme == "SCRAM-SHA-256") return verify_scram(ScramHash::sha256, parts.data, password);
  return fail(Error::Kind::syntax, concat({"stored password: unknown scheme {", printable(parts.scheme), "}"}));
}

Result<std::string> make_password(std::string_view scheme, std::string_view password, const PasswordOptions& options) {
  const auto name = to_upper(scheme);
  if (options.rounds > kMostRounds) return fail(Error::Kind::syntax, "too many rounds");
  if (is_crypt(name)) return make_crypt(name, password, options.rounds);
  if (is_plain(name)) {
    if (password.find_first_of(std::string_view(":\n\0", 3)) == std::string_view::npos)
      return concat({"{", name, "}", password});
    return concat({"{", name, ".b64}", to_base64(password)});
  }
  if (const auto* digest_scheme = find_digest(name)) {
    const auto salt = digest_scheme->salted ? random_octets(8) : std::string();
    Secret input(concat({password, salt}));
    const auto hash = digest(digest_scheme->algorithm(), input.text());
    return concat({"{", name, "}", digest_scheme->hexadecimal ? to_hex(hash) : to_base64(hash + salt)});
  }
  if (name == "PBKDF2") {
    const auto salt = salt_text(16);
    const auto rounds = options.rounds != 0 ? options.rounds : kPbkdf2Rounds;
    return concat({"{PBKDF2}$1$", salt, "$", decimal(rounds), "$",
                   to_hex(pbkdf2(EVP_sha1(), password, salt, rounds, kPbkdf2Octets))});
  }
  if (name == "ARGON2ID" || name == "ARGON2I") return make_argon(name, password, options.rounds);
  if (name == "SCRAM-SHA-1" || name == "SCRAM-SHA-256") return make_scram(name, password, options.rounds);
  return fail(Error::Kind::not_found, concat({"unknown password scheme ", printable(scheme)}));
}

bool has_known_scheme(std::string_view stored) {
  const auto scheme = take_apart(stored).scheme;
  static constexpr std::array<std::string_view, 5> kOthers{"PBKDF2", "ARGON2ID", "ARGON2I", "SCRAM-SHA-1",
                                                           "SCRAM-SHA-256"};
  return is_crypt(scheme) || is_plain(scheme) || find_digest(scheme) != nullptr ||
         std::ranges::find(kOthers, scheme) != kOthers.end();
}

const std::vector<std::string_view>& password_schemes() {
  static const std::vector<std::string_view> kSchemes{
      "CRYPT",         "BLF-CRYPT",   "SHA512-CRYPT", "SHA256-CRYPT", "ARGON2ID", "ARGON2I", "PBKDF2",
      "SCRAM-SHA-256", "SCRAM-SHA-1", "SSHA512",      "SSHA256",      "SSHA",     "PLAIN"};
  return kSchemes;
}

std::optional<Secret> plain_secret(std::string_view stored) {
  const auto parts = take_apart(stored);
  if (!is_plain(parts.scheme)) return std::nullopt;
  auto text = decode_text(parts);
  if (!text) return std::nullopt;
  Secret secret(*text);
  cleanse(*text);
  return secret;
}

std::optional<ScramKeys> scram_keys(std::string_view stored, ScramHash hash, std::string_view salt_for_plain) {
  const auto parts = take_apart(stored);
  if (parts.scheme == (hash == ScramHash::sha1 ? "SCRAM-SHA-1" : "SCRAM-SHA-256")) return parse_scram(parts.data);
  const auto secret = plain_secret(stored);
  if (!secret) return std::nullopt;
  const auto prepared = saslprep(secret->text());
  if (!prepared) return std::nullopt;
  return make_scram_keys(hash, *prepared, salt_for_plain, kScramRounds);
}

}  // namespace mail::sasl
