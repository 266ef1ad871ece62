// The media type of a file that is attached: by extension, for the types that people send; no file of the system is
// asked, so that a message looks the same wherever it is written.
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "message/builder.h"

namespace mail::message {

namespace {

struct Extension {
  std::string_view extension;
  std::string_view type;
};
constexpr std::array kExtensions{
    Extension{"7z", "application/x-7z-compressed"},
    Extension{"avif", "image/avif"},
    Extension{"bmp", "image/bmp"},
    Extension{"bz2", "application/x-bzip2"},
    Extension{"css", "text/css"},
    Extension{"csv", "text/csv"},
    Extension{"diff", "text/x-diff"},
    Extension{"doc", "application/msword"},
    Extension{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    Extension{"eml", "message/rfc822"},
    Extension{"epub", "application/epub+zip"},
    Extension{"flac", "audio/flac"},
    Extension{"gif", "image/gif"},
    Extension{"gz", "application/gzip"},
    Extension{"heic", "image/heic"},
    Extension{"htm", "text/html"},
    Extension{"html", "text/html"},
    Extension{"ics", "text/calendar"},
    Extension{"jpeg", "image/jpeg"},
    Extension{"jpg", "image/jpeg"},
    Extension{"js", "text/javascript"},
    Extension{"json", "application/json"},
    Extension{"m4a", "audio/mp4"},
    Extension{"md", "text/markdown"},
    Extension{"mkv", "video/x-matroska"},
    Extension{"mov", "video/quicktime"},
    Extension{"mp3", "audio/mpeg"},
    Extension{"mp4", "video/mp4"},
    Extension{"odp", "application/vnd.oasis.opendocument.presentation"},
    Extension{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
    Extension{"odt", "application/vnd.oasis.opendocument.text"},
    Extension{"ogg", "audio/ogg"},
    Extension{"p7s", "application/pkcs7-signature"},
    Extension{"patch", "text/x-diff"},
    Extension{"pdf", "application/pdf"},
    Extension{"png", "image/png"},
    Extension{"ppt", "application/vnd.ms-powerpoint"},
    Extension{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    Extension{"ps", "application/postscript"},
    Extension{"rtf", "application/rtf"},
    Extension{"sig", "application/pgp-signature"},
    Extension{"svg", "image/svg+xml"},
    Extension{"tar", "application/x-tar"},
    Extension{"tgz", "application/gzip"},
    Extension{"tif", "image/tiff"},
    Extension{"tiff", "image/tiff"},
    Extension{"txt", "text/plain"},
    Extension{"vcf", "text/vcard"},
    Extension{"wav", "audio/x-wav"},
    Extension{"webm", "video/webm"},
    Extension{"webp", "image/webp"},
    Extension{"xls", "application/vnd.ms-excel"},
    Extension{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    Extension{"xml", "application/xml"},
    Extension{"xz", "application/x-xz"},
    Extension{"yaml", "application/yaml"},
    Extension{"zip", "application/zip"},
    Extension{"zst", "application/zstd"},
};
static_assert(std::ranges::is_sorted(kExtensions, {}, &Extension::extension));

}  // namespace

std::string guess_type(std::string_view file_name, std::string_view octets) {
  const bool text = octets.find('\0') == std::string_view::npos && is_utf8(octets);
  const auto dot = file_name.rfind('.');
  if (dot != std::string_view::npos) {
    const auto extension = to_lower(file_name.substr(dot + 1));
    const auto* found = std::ranges::lower_bound(kExtensions, std::string_view(extension), {}, &Extension::extension);
    if (found != kExtensions.end() && found->extension == extension && (text || !found->type.starts_with("text/")))
      return std::string(found->type);
  }
  return text ? "text/plain" : "application/octet-stream";
}

}  // namespace mail::message
