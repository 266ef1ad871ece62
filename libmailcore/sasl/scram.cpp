#include "sasl/scram.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/strings.h"
#include "sasl/digest.h"

namespace mail::sasl {
namespace {

constexpr std::uint32_t kMostIterations = 10000000;  // a server may not keep a client busy for minutes

auto broken(std::string_view what) { return fail(Error::Kind::syntax, concat({"SCRAM: ", what})); }

bool is_nonce(std::string_view nonce) {
  return !nonce.empty() &&
         std::ranges::all_of(nonce, [](unsigned char c) { return c >= 0x21 && c <= 0x7e && c != ','; });
}

/// The value of `letter=`, up to the next comma, which is consumed.
std::optional<std::string_view> take_attribute(Cursor& cursor, char letter) {
  if (cursor.peek() != letter || cursor.peek(1) != '=') return std::nullopt;
  cursor.skip(2);
  const auto value = cursor.take_while([](unsigned char c) { return c != ','; });
  cursor.take(',');
  return value;
}

/// Optional extensions are ignored (RFC 5802 section 5.1), `m=` never is.
bool skip_extensions(Cursor& cursor, char stop) {
  while (!cursor.at_end() && cursor.peek() != stop) {
    if (!is_alpha(static_cast<unsigned char>(cursor.peek())) || cursor.peek(1) != '=' || cursor.peek() == 'm')
      return false;
    cursor.take_while([](unsigned char c) { return c != ','; });
    if (!cursor.take(',') && stop != '\0') return false;
  }
  return true;
}

}  // namespace

std::string to_saslname(std::string_view name) { return replace_all(replace_all(name, "=", "=3D"), ",", "=2C"); }

std::optional<std::string> from_saslname(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0' || text[i] == ',') return std::nullopt;
    if (text[i] != '=') {
      out += text[i];
    } else if (text.substr(i, 3) == "=2C") {
      out += ',', i += 2;
    } else if (text.substr(i, 3) == "=3D") {
      out += '=', i += 2;
    } else {
      return std::nullopt;
    }
  }
  return is_utf8(out) ? std::optional(out) : std::nullopt;
}

Result<ScramClientFirst> parse_client_first(std::string_view message) {
  Cursor cursor(message);
  ScramClientFirst first;
  if (cursor.take("p=")) {
    first.flag = BindingFlag::used;
    first.binding = cursor.take_while([](unsigned char c) { return is_alnum(c) || c == '.' || c == '-'; });
    if (first.binding.empty()) return broken("no name of the channel binding");
  } else if (cursor.take('y')) {
    first.flag = BindingFlag::not_offered;
  } else if (!cursor.take('n')) {
    return broken("no GS2 header");
  }
  if (!cursor.take(',')) return broken("no comma after the channel binding flag");
  if (const auto authzid = take_attribute(cursor, 'a')) {
    const auto name = from_saslname(*authzid);
    if (!name || name->empty()) return broken("authzid is not a saslname");
    first.authzid = *name;
  } else if (!cursor.take(',')) {
    return broken("GS2 header does not end");
  }
  if (message[cursor.offset() - 1] != ',') return broken("GS2 header does not end");
  first.gs2_header = message.substr(0, cursor.offset());
  first.bare = cursor.rest();
  const auto user = take_attribute(cursor, 'n');
  if (!user) return broken("no user name");  // also `m=`, which we must not ignore
  const auto name = from_saslname(*user);
  if (!name || name->empty()) return broken("user name is not a saslname");
  first.user = *name;
  const auto nonce = take_attribute(cursor, 'r');
  if (!nonce || !is_nonce(*nonce)) return broken("no nonce");
  first.nonce = *nonce;
  if (!skip_extensions(cursor, '\0')) return broken("unknown mandatory extension");
  return first;
}

Result<ScramClientFinal> parse_client_final(std::string_view message) {
  Cursor cursor(message);
  ScramClientFinal last;
  const auto binding = take_attribute(cursor, 'c');
  auto decoded = binding ? from_base64(*binding) : std::nullopt;
  if (!decoded) return broken("no channel binding data");
  last.binding = std::move(*decoded);
  const auto nonce = take_attribute(cursor, 'r');
  if (!nonce || !is_nonce(*nonce)) return broken("no nonce");
  last.nonce = *nonce;
  if (!skip_extensions(cursor, 'p')) return broken("unknown extension");
  const auto end = cursor.offset();
  const auto proof = take_attribute(cursor, 'p');
  auto octets = proof ? from_base64(*proof) : std::nullopt;
  if (!octets || !cursor.at_end() || end == 0) return broken("no proof");
  last.proof = std::move(*octets);
  last.without_proof = message.substr(0, end - 1);
  return last;
}

Result<ScramServerFirst> parse_server_first(std::string_view message) {
  Cursor cursor(message);
  ScramServerFirst first;
  const auto nonce = take_attribute(cursor, 'r');
  if (!nonce || !is_nonce(*nonce)) return broken("no nonce");
  first.nonce = *nonce;
  const auto salt = take_attribute(cursor, 's');
  auto octets = salt ? from_base64(*salt) : std::nullopt;
  if (!octets || octets->empty()) return broken("no salt");
  first.salt = std::move(*octets);
  const auto count = take_attribute(cursor, 'i');
  const auto iterations = count ? parse_decimal<std::uint32_t>(*count) : std::nullopt;
  if (!iterations || *iterations == 0 || *iterations > kMostIterations) return broken("iteration count");
  first.iterations = *iterations;
  if (!skip_extensions(cursor, '\0')) return broken("unknown mandatory extension");
  return first;
}

std::optional<ScramName> scram_name(std::string_view mechanism) {
  if (iequals(mechanism, "SCRAM-SHA-1")) return ScramName{ScramHash::sha1, false};
  if (iequals(mechanism, "SCRAM-SHA-1-PLUS")) return ScramName{ScramHash::sha1, true};
  if (iequals(mechanism, "SCRAM-SHA-256")) return ScramName{ScramHash::sha256, false};
  if (iequals(mechanism, "SCRAM-SHA-256-PLUS")) return ScramName{ScramHash::sha256, true};
  return std::nullopt;
}

}  // namespace mail::sasl
