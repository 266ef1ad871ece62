#include "store/file_name.h"

#include <unistd.h>

#include <array>
#include <atomic>

#include "base/strings.h"

namespace mail::store {

namespace {

struct Letter {
  char letter;
  Flags flag;
};
constexpr std::array kLetters{Letter{'D', Flags::draft},    Letter{'F', Flags::flagged}, Letter{'P', Flags::forwarded},
                              Letter{'R', Flags::answered}, Letter{'S', Flags::seen},    Letter{'T', Flags::deleted}};

std::optional<std::uint64_t> size_field(std::string_view base, std::string_view key) {
  const auto at = base.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  const auto rest = base.substr(at + key.size());
  return parse_decimal<std::uint64_t>(rest.substr(0, rest.find(',')));
}

}  // namespace

FileName parse_file_name(std::string_view name) {
  FileName out;
  const auto colon = name.rfind(':');
  out.base = name.substr(0, colon);
  if (colon != std::string_view::npos) {
    auto info = name.substr(colon + 1);
    out.odd = !info.starts_with("2,");
    if (!out.odd) {
      info.remove_prefix(2);
      char last = 0;
      for (const char c : info) {
        if (c <= last) out.odd = true;
        last = c;
        if (c >= 'a' && c <= 'z') {
          out.keywords |= KeywordBits{1} << (c - 'a');
          continue;
        }
        bool known = false;
        for (const auto& letter : kLetters)
          if (letter.letter == c) out.flags = out.flags | letter.flag, known = true;
        if (!known) out.odd = true;
      }
    }
  }
  out.octets = size_field(out.base, ",S=");
  out.wire_octets = size_field(out.base, ",W=");
  return out;
}

void append_info(std::string& to, Flags flags, KeywordBits keywords) {
  to += ":2,";
  for (const auto& letter : kLetters)
    if (has(flags, letter.flag)) to += letter.letter;
  for (int bit = 0; bit < 26; ++bit)
    if ((keywords >> bit) & 1) to += static_cast<char>('a' + bit);
}

void append_sizes(std::string& to, std::uint64_t octets, std::uint64_t wire_octets) {
  to += ",S=";
  append_decimal(to, octets);
  to += ",W=";
  append_decimal(to, wire_octets);
}

std::string_view without_sizes(std::string_view base, std::uint64_t octets, std::uint64_t wire_octets) {
  if (octets == 0 || wire_octets == 0) return base;
  std::string sizes;
  append_sizes(sizes, octets, wire_octets);
  return base.ends_with(sizes) ? base.substr(0, base.size() - sizes.size()) : base;
}

std::pair<std::uint64_t, std::uint64_t> name_time(std::string_view base) {
  const auto number_at = [&](std::size_t at) {
    std::uint64_t value = 0;
    for (int digits = 0; at < base.size() && is_digit(static_cast<unsigned char>(base[at])) && digits < 18;
         ++at, ++digits)
      value = value * 10 + static_cast<std::uint64_t>(base[at] - '0');
    return value;
  };
  const auto dot = base.find('.');
  if (dot == std::string_view::npos) return {number_at(0), 0};
  const auto m = base.find('M', dot);
  return {number_at(0), m == std::string_view::npos ? 0 : number_at(m + 1)};
}

std::string make_base(std::string_view host, std::string_view id, std::int64_t microseconds) {
  static std::atomic<unsigned> counter{0};
  std::string out = decimal(microseconds / 1000000);
  out += ".M";
  append_decimal(out, static_cast<std::uint64_t>(microseconds % 1000000));
  if (!id.empty()) {
    out += 'R';
    out += plain_id(id);
    out += '_';
  }
  out += 'P';
  append_decimal(out, static_cast<std::uint64_t>(::getpid()));
  out += 'Q';
  append_decimal(out, counter++);
  out += '.';
  out += host;
  return out;
}

std::string plain_id(std::string_view id) {
  std::string out(id.substr(0, 80));
  for (auto& c : out)
    if (!is_alnum(static_cast<unsigned char>(c))) c = '-';
  return out;
}

std::string_view id_of(std::string_view base) {
  const auto dot = base.find(".M");
  if (dot == std::string_view::npos) return {};
  auto at = dot + 2;
  while (at < base.size() && is_digit(static_cast<unsigned char>(base[at]))) ++at;
  if (at >= base.size() || base[at] != 'R') return {};
  const auto end = base.find("_P", at);
  return end == std::string_view::npos ? std::string_view{} : base.substr(at + 1, end - at - 1);
}

std::string check_text(std::uint64_t content_hash) {
  std::string out;
  for (int i = 0; i < 6; ++i) {
    out += "0123456789abcdefghijklmnopqrstuv"[content_hash & 31];
    content_hash >>= 5;
  }
  return out;
}

std::string with_check(std::string_view base, std::uint64_t content_hash) {
  const auto dot = base.find('.', base.find('.') + 1);  // before the host: neither id nor numbers hold a dot
  if (dot == std::string_view::npos) return std::string(base);
  return concat({base.substr(0, dot), "C", check_text(content_hash), base.substr(dot)});
}

std::string_view check_of(std::string_view base) {
  const auto first = base.find(".M");
  if (first == std::string_view::npos) return {};
  const auto dot = base.find('.', first + 1);
  if (dot == std::string_view::npos || dot < first + 9 || base[dot - 7] != 'C') return {};
  const auto q = base.rfind('Q', dot);
  if (q == std::string_view::npos || q < first) return {};
  return base.substr(dot - 6, 6);
}

std::string_view host_of(std::string_view base) {
  const auto dot = base.find('.', base.find('.') + 1);
  if (dot == std::string_view::npos) return {};
  const auto rest = base.substr(dot + 1);
  return rest.substr(0, rest.find_first_of(",:"));
}

std::string safe_host(std::string_view host) {
  std::string out;
  for (const char c : host.substr(0, 64)) {
    if (c == '/')
      out += "\\057";
    else if (c == ':')
      out += "\\072";
    else if (c == ',')
      out += "\\054";
    else if (static_cast<unsigned char>(c) > ' ' && c != 0x7F)
      out += c;
  }
  return out.empty() ? "localhost" : out;
}

}  // namespace mail::store
