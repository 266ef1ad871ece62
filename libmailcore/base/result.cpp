#include <unistd.h>

#include <cstring>

#include "base/cursor.h"
#include "base/result.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace mail {

tl::unexpected<Error> fail_errno(std::string_view what, std::string_view where, int number) {
  auto kind = Error::Kind::temporary;
  if (number == ENOENT || number == ENOTDIR) kind = Error::Kind::not_found;
  if (number == EACCES || number == EPERM || number == EROFS || number == ELOOP) kind = Error::Kind::refused;
  char buffer[128];
  const char* reason = ::strerror_r(number, buffer, sizeof buffer);
  return tl::unexpected(Error{kind, concat({what, where.empty() ? "" : " ", where, ": ", reason}), number});
}

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

bool Cursor::take_word(std::string_view word) {
  if (!istarts_with(rest_, word)) return false;
  rest_.remove_prefix(word.size());
  return true;
}

}  // namespace mail
