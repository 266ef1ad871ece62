#include "mua/text.h"

#include <sysexits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/strings.h"
#include "message/charset.h"

namespace mail::mua {

int exit_code(const Error& error) {
  switch (error.kind) {
    case Error::Kind::temporary:
      return EX_TEMPFAIL;
    case Error::Kind::refused:
      return EX_NOPERM;
    case Error::Kind::not_found:
      return EX_NOINPUT;
    case Error::Kind::syntax:
      return EX_DATAERR;
    case Error::Kind::permanent:
      break;
  }
  return EX_UNAVAILABLE;
}

int complain(std::string_view text, int code) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, printable(text).c_str());
  return code;
}
int complain(const Error& error) { return complain(error.text, exit_code(error)); }

std::string for_terminal(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto end = text.find_first_of("\n\t\r");
    out += printable(text.substr(0, end));
    if (end == std::string_view::npos) break;
    if (text[end] != '\r') {
      out += text[end];
    } else if (end + 1 < text.size() && text[end + 1] != '\n') {
      out += "\\x0d";
    }
    text.remove_prefix(end + 1);
  }
  return out;
}

Result<std::string> read_all(int fd, std::uint64_t most) {
  std::string out;
  char buffer[65536];
  for (;;) {
    const auto count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("cannot read", "standard input");
    if (count == 0) return out;
    out.append(buffer, static_cast<std::size_t>(count));
    if (out.size() > most) return fail(Error::Kind::permanent, "the input is too large");
  }
}

bool print(std::string_view text) {
  while (!text.empty()) {
    const auto count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

std::string Json::string(std::string_view utf8) {
  std::string out = "\"";
  for (const char c : message::repair_utf8(utf8)) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          out += concat({"\\u00", to_hex(std::string_view(&c, 1))});
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

std::string Json::array(const std::vector<std::string>& values) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : ", ") + values[i];
  return out + "]";
}

std::string Json::object(std::initializer_list<std::pair<std::string_view, std::string>> members) {
  std::string out = "{";
  for (const auto& [name, value] : members) {
    if (out.size() > 1) out += ", ";
    out += concat({string(name), ": ", value});
  }
  return out + "}";
}

}  // namespace mail::mua
