// Errors are values: in mail a failure is ordinary, and whether it is temporary decides between a retry and a bounce.
#pragma once
#include <cerrno>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace mail {

struct Error {
  enum class Kind {
    syntax,     ///< The input is not of the grammar.
    not_found,  ///< What was named does not exist.
    refused,    ///< Not allowed: permission, policy, credentials.
    temporary,  ///< May succeed later: full disk, no descriptors, peer away (4xx, NO [UNAVAILABLE], EX_TEMPFAIL).
    permanent,  ///< Will not succeed as asked (5xx).
  };
  Kind kind = Kind::permanent;
  std::string text;  ///< For the log and the operator: what was tried, on what, and the cause.
  int system = 0;    ///< errno where a system call failed, else 0.
};

template <class T>
using Result = tl::expected<T, Error>;  // to become std::expected one day
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> fail(Error::Kind kind, std::string text) {
  return tl::unexpected(Error{kind, std::move(text), 0});
}
/// An Error from errno: "WHAT WHERE: strerror". ENOENT is not_found, EACCES/EPERM/EROFS refused, ENOSPC, EDQUOT, EIO,
/// EMFILE, ENFILE, ENOMEM, EAGAIN and all others temporary: mail is kept and tried again.
[[nodiscard]] tl::unexpected<Error> fail_errno(std::string_view what, std::string_view where = {}, int number = errno);

}  // namespace mail

#define MAIL_CONCAT_INNER(a, b) a##b
#define MAIL_CONCAT(a, b) MAIL_CONCAT_INNER(a, b)
/// Declares `name` as a reference to the value of `expression`, or returns its error.
#define MAIL_TRY(name, expression)                                                                       \
  auto&& MAIL_CONCAT(name, _result) = (expression);                                                      \
  if (!MAIL_CONCAT(name, _result)) return tl::unexpected(std::move(MAIL_CONCAT(name, _result)).error()); \
  auto&& name = *MAIL_CONCAT(name, _result)
/// Returns the error of an expression whose value is void or of no interest.
#define MAIL_CHECK(expression)                                                           \
  do {                                                                                   \
    auto mail_check_result = (expression);                                               \
    if (!mail_check_result) return tl::unexpected(std::move(mail_check_result).error()); \
  } while (false)
