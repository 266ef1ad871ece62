#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "sasl/digest.h"
#include "sasl/password.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::sasl;

TEST_CASE("stored passwords made by other programs are verified") {
  const std::string password = "s3cret\xc3\xa9";
  const std::string stored = GENERATE(
      as<std::string>{}, "{SSHA}+U7a0ptl0k6qAvG5bNn2muNY/ixzYWx0c2FsdA==",
      "{ssha256}7NienY8SKgoedgcNL0KCwJSIQzUrFCeU2al4lJ5Q2CBzYWx0c2FsdA==",
      "{SSHA512}+I2Otc/ccxfaB8FjEyk/w2L40vGGzDMXBQzkScZK8DzzB232mk1fPcCeq3ozUf2ypAZ1yvu8ITh67fS/n04rF3NhbHRzYWx0",
      "{SMD5}fcUY9mxx9KKRk2oV9dD9VnNhbHRzYWx0", "{SHA}AN7ScxcV0n0WZ0VtiUdJAL8+giU=",
      "{SHA1}AN7ScxcV0n0WZ0VtiUdJAL8+giU=", "{SHA256}PH1/7JJnPedDZuEwfce7Atn2jhp4mjlqI4YUYSzL/yA=",
      "{SHA256.hex}3c7d7fec92673de74366e1307dc7bb02d9f68e1a789a396a238614612ccbff20",
      "{SHA512}"
      "a8873bcc2635106f61021a74c283fdbddd6d1dfa4bc2170a32329f799bc0dbeb23babacfe35974aaf9c1a3c46fab2c8c6c05ed734b26efbe"
      "e6bc5a6ced529141",
      "{PLAIN-MD5}7c5d1be98ea2a863bcb7f58a57f61526",
      "{LDAP-MD5}fF0b6Y6iqGO8t/WKV/YVJg==", "{PBKDF2}$1$abcdefgh12345678$5000$e1e8433e507c7dc5bb924a30a731bb1b81835483",
      "{CRYPT}$6$FGoFE2dbQfyPSmGD$JzT7Cgm9S.TW19PRCuPb/"
      "4jeZFHddzWLAPuRCcXUjkkL80YoRcelEudBQONQIlwAfg9mo2PSdNJH3EKws3XiQ.",
      "{SHA256-CRYPT}$5$h8xnZbKwby5D9AiW$ZJOzEtrP.7gOsGhZyJuZbVvg6XlYHMNKQPMRqdgo5w9",
      "$1$LvyE1u6Q$E.QrDN5FEJQj1zo9Cpv5Y0", "{BLF-CRYPT}$2b$04$rA9QP3J8U.eNWltfnS48ROjc7CYh2phdsht4lTEJcnJaP/jfXFUXi",
      "{PLAIN}s3cret\xc3\xa9", "{PLAIN.b64}czNjcmV0w6k=", "{cleartext}s3cret\xc3\xa9");
  INFO(stored);
  CHECK(verify_password(stored, password).value());
  CHECK_FALSE(verify_password(stored, "s3cret").value());
  CHECK_FALSE(verify_password(stored, "").value());
}

TEST_CASE("a made password verifies, and two are never the same") {
  for (const auto scheme : password_schemes()) {
    INFO(std::string(scheme));
    const PasswordOptions cheap{scheme == "BLF-CRYPT"          ? 4U
                                : scheme.starts_with("ARGON2") ? 1U
                                : scheme == "CRYPT"            ? 1U
                                                               : 1000U};
    const auto stored = make_password(scheme, "correct horse:\xc3\xa9", cheap);
    REQUIRE(stored);
    CHECK(stored->starts_with(concat({"{", scheme})));
    CHECK(stored->find_first_of(scheme == "PLAIN" ? "\n" : ":\n") == std::string::npos);
    CHECK(verify_password(*stored, "correct horse:\xc3\xa9").value());
    CHECK_FALSE(verify_password(*stored, "correct horse").value());
    if (scheme != "PLAIN") CHECK(*make_password(scheme, "x", cheap) != *make_password(scheme, "x", cheap));
  }
  CHECK(make_password("CRYPT", "x", {1})->starts_with("{CRYPT}$y$"));
  CHECK(make_password("MD4", "x").error().kind == Error::Kind::not_found);
}

TEST_CASE("damaged or locked entries let nobody in") {
  for (const std::string stored : {"", "{CRYPT}", "{CRYPT}!$6$abc$def", "*", "x", "{CRYPT}*0"}) {
    INFO(stored);
    const auto outcome = verify_password(stored, "");
    CHECK((!outcome || !*outcome));
    const auto other = verify_password(stored, stored);
    CHECK((!other || !*other));
  }
  for (const std::string stored :
       {"{NO-SUCH}x", "{SSHA}***", "{SSHA}AAAA", "{PBKDF2}$1$salt$0$00", "{PBKDF2}$1$salt$99999999999$00",
        "{ARGON2ID}nonsense", "{SCRAM-SHA-256}4096,a,b,c", "{SHA256}"}) {
    INFO(stored);
    CHECK(verify_password(stored, "x").error().kind == Error::Kind::syntax);
  }
}

TEST_CASE("plain secrets and SCRAM keys come from what is stored") {
  CHECK(plain_secret("{PLAIN}tanstaaf")->text() == "tanstaaf");
  CHECK_FALSE(plain_secret("{CRYPT}$6$x"));
  CHECK_FALSE(scram_keys("{CRYPT}$6$x", ScramHash::sha256, "salt"));
  const auto stored = make_password("SCRAM-SHA-256", "pencil");
  const auto keys = scram_keys(*stored, ScramHash::sha256, "unused");
  REQUIRE(keys);
  CHECK(keys->iterations == 4096);
  CHECK(make_scram_keys(ScramHash::sha256, "pencil", keys->salt, 4096).stored_key == keys->stored_key);
  CHECK_FALSE(scram_keys(*stored, ScramHash::sha1, "salt"));
  CHECK(scram_keys("{PLAIN}pencil", ScramHash::sha1, "salt")->salt == "salt");
}

TEST_CASE("a Secret is cleared and moves away its text") {
  Secret secret("a long enough secret to be on the heap, as most are");
  const Secret other(std::move(secret));
  CHECK(secret.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  CHECK(other.text().starts_with("a long"));
}

TEST_CASE("RFC examples: saslprep, PBKDF2, CRAM-MD5") {
  const auto path = mail::test::vectors("rfc-examples");
  if (path.empty()) return;
  const auto json = nlohmann::json::parse(mail::test::read_path(path / "sasl.json"));
  for (const auto& row : json["saslprep"]) {
    INFO(row.dump());
    const auto prepared = saslprep(row["input"].get<std::string>());
    if (row.contains("error"))
      CHECK_FALSE(prepared);
    else
      CHECK(prepared == row["output"].get<std::string>());
  }
  for (const auto& row : json["pbkdf2"])
    CHECK(to_hex(pbkdf2(EVP_sha1(), *from_hex(row["password_hex"].get<std::string>()),
                        *from_hex(row["salt_hex"].get<std::string>()), row["iterations"].get<std::uint32_t>(),
                        row["dklen"].get<std::size_t>())) == row["derived_hex"].get<std::string>());
  for (const auto& row : json["cram_md5"])
    CHECK(cram_md5(row["secret"].get<std::string>(), row["challenge"].get<std::string>()) ==
          row["digest_hex"].get<std::string>());
}
