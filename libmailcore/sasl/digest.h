// The hashes that mechanisms and stored passwords are made of, by OpenSSL.
#pragma once
#include <openssl/evp.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "sasl/password.h"

namespace mail::sasl {

std::string digest(const EVP_MD* algorithm, std::string_view octets);
std::string hmac(const EVP_MD* algorithm, std::string_view key, std::string_view octets);
std::string pbkdf2(const EVP_MD* algorithm, std::string_view password, std::string_view salt, std::uint32_t iterations,
                   std::size_t octets);
const EVP_MD* algorithm_of(ScramHash hash);
/// CRAM-MD5 (RFC 2195): HMAC-MD5 in lower-case hexadecimal.
std::string cram_md5(std::string_view secret, std::string_view challenge);

}  // namespace mail::sasl
