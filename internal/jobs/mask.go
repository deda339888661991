package jobs

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what Mask reads and returns, in bytes.
const (
	maxMasked  = 4096
	maxPattern = 300
)

// Masks, which replace what differs between messages of one kind.
const (
	maskNumber = "<number>"
	maskHex    = "<hex>"
	maskUUID   = "<uuid>"
	maskText   = "<text>"
	maskPath   = "<path>"
	maskURL    = "<url>"
	maskEmail  = "<email>"
	maskValues = "<values>"
)

// Mask returns the pattern of a message: the message without what differs
// between failures of one kind. Numbers, hexadecimal numbers, UUIDs, quoted
// text, paths, addresses, and lists of such become masks. Messages of one
// pattern belong together. The pattern has at most 300 bytes.
func Mask(message string) string {
	short := len(message) > maxMasked
	if short {
		message = cutText(message, maxMasked)
	}
	m := masker{text: strings.TrimSpace(message), short: short}
	m.out = make([]byte, 0, min(len(m.text), 2*maxPattern))
	for m.at < len(m.text) {
		m.step()
	}
	pattern := strings.ToValidUTF8(string(m.out), "�")
	return cutText(pattern, maxPattern)
}

// cutText returns the first n bytes of s, cut between characters.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// A masker masks one text from left to right.
type masker struct {
	text  string
	at    int
	short bool // the text was cut
	out   []byte
	open  []bracket // not yet closed
}

// A bracket is an open bracket in a masker's output.
type bracket struct {
	close byte
	at    int  // its offset in the output
	data  bool // only values so far
	many  bool // it has a comma or a colon
}

func (m *masker) step() {
	c := m.text[m.at]
	before := byte(' ')
	if m.at > 0 {
		before = m.text[m.at-1]
	}
	switch {
	case wordByte(before) && !isDigit(c):
	case c == '\'' || c == '"' || c == '`' || c >= utf8.RuneSelf:
		if m.quoted() {
			return
		}
	case wordByte(c) || strings.IndexByte("/.~-+", c) >= 0:
		if m.value(before) {
			return
		}
	}
	m.literal(c)
}

// mask writes a mask for the text up to an end. Of equal masks with only a
// separator between them it writes the first.
func (m *masker) mask(mask string, end int) {
	m.at = end
	before := bytes.TrimSuffix(bytes.TrimSuffix(m.out, []byte{' '}), []byte{','})
	if n := len(before) - len(mask); n >= 0 && len(before) < len(m.out) && string(before[n:]) == mask {
		m.out = before
		return
	}
	m.out = append(m.out, mask...)
}

// literal writes a character, or a mask where it closes a bracket of values.
func (m *masker) literal(c byte) {
	n := len(m.open) - 1
	switch {
	case c == '[' || c == '{' || c == '(':
		m.open = append(m.open, bracket{close: closing(c), at: len(m.out), data: true})
	case n >= 0 && c == m.open[n].close:
		b := m.open[n]
		m.open = m.open[:n]
		if b.data && (c != ')' || b.many) {
			m.out = m.out[:b.at]
			m.mask(maskValues, m.at+1)
			return
		}
		if n > 0 && !b.data {
			m.open[n-1].data = false
		}
	case n >= 0 && (c == ',' || c == ':'):
		m.open[n].many = true
	case n >= 0 && (wordByte(c) || c >= utf8.RuneSelf):
		m.word(n)
		return
	}
	m.out = append(m.out, c)
	m.at++
}

// closing returns the end of a bracket that begins with c.
func closing(c byte) byte {
	if c == '(' {
		return ')'
	}
	return c + 2 // in ASCII
}

// word writes a word inside a bracket. Constants are values.
func (m *masker) word(n int) {
	end := m.at
	for end < len(m.text) && (wordByte(m.text[end]) && !isDigit(m.text[end]) || m.text[end] >= utf8.RuneSelf) {
		end++
	}
	end = max(end, m.at+1)
	switch word := m.text[m.at:end]; word {
	case "None", "True", "False", "null", "true", "false", "b", "u", "e":
	default:
		m.open[n].data = false
	}
	m.out = append(m.out, m.text[m.at:end]...)
	m.at = end
}

// quotes maps opening quotation marks beyond ASCII to closing ones.
var quotes = map[rune]rune{'‘': '’', '“': '”', '«': '»', '„': '“', '「': '」'}

// quoted masks quoted text, which ends on its line and before a character that is
// not of a word: an apostrophe is not a quotation mark.
func (m *masker) quoted() bool {
	mark, size := utf8.DecodeRuneInString(m.text[m.at:])
	closing := mark
	if mark >= utf8.RuneSelf {
		if closing = quotes[mark]; closing == 0 {
			return false
		}
	}
	for i := m.at + size; i < len(m.text); {
		r, n := utf8.DecodeRuneInString(m.text[i:])
		switch {
		case r == '\\':
			i++
		case r == '\n':
			return false
		case r == closing || mark == '`' && r == '\'':
			if next, _ := utf8.DecodeRuneInString(m.text[i+n:]); !unicode.IsLetter(next) && !unicode.IsDigit(next) {
				m.mask(m.text[m.at:m.at+size]+maskText+m.text[i:i+n], i+n)
				return true
			}
		}
		i += n
	}
	if m.short {
		m.mask(m.text[m.at:m.at+size]+maskText, len(m.text))
	}
	return m.short
}

// value masks a number, a path or the like that begins here.
func (m *masker) value(before byte) bool {
	rest := m.text[m.at:]
	if !wordByte(before) {
		if n := uuidLen(rest); n > 0 {
			m.mask(maskUUID, m.at+n)
			return true
		}
		if n := hexLen(rest); n > 0 {
			m.mask(maskHex, m.at+n)
			return true
		}
		if mask, n := placeLen(rest); n > 0 {
			m.mask(mask, m.at+n)
			return true
		}
		if n := strings.IndexFunc(rest[1:], func(r rune) bool { return r >= utf8.RuneSelf || !wordByte(byte(r)) }) + 1; n > 0 || len(rest) < 5 {
			if n == 0 {
				n = len(rest)
			}
			switch rest[:n] {
			case "nan", "inf", "-inf":
				m.mask(maskNumber, m.at+n)
				return true
			}
		}
	}
	n := numberLen(rest, before)
	if n > 0 {
		m.mask(maskNumber, m.at+n)
	}
	return n > 0
}

// numberLen returns the length of the number with which text begins: digits,
// also with points, commas, colons or dashes between them, as dates and
// addresses have, a sign before and an exponent after them.
func numberLen(text string, before byte) int {
	i := 0
	if (text[0] == '-' || text[0] == '+') && !wordByte(before) {
		i = 1
	}
	if i < len(text) && text[i] == '.' && !wordByte(before) {
		i++
	}
	if i == len(text) || !isDigit(text[i]) {
		return 0
	}
	for i < len(text) && (isDigit(text[i]) || i+1 < len(text) && strings.IndexByte(".,:_-", text[i]) >= 0 && isDigit(text[i+1])) {
		i++
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		j := i + 1
		if j < len(text) && (text[j] == '-' || text[j] == '+') {
			j++
		}
		if j < len(text) && isDigit(text[j]) {
			for j < len(text) && isDigit(text[j]) {
				j++
			}
			i = j
		}
	}
	return i
}

// uuidLen returns the length of a UUID with which text begins.
func uuidLen(text string) int {
	const n = 36
	if len(text) < n || len(text) > n && wordByte(text[n]) {
		return 0
	}
	for i := range n {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (text[i] == '-') || !dash && !isHex(text[i]) {
			return 0
		}
	}
	return n
}

// hexLen returns the length of a hexadecimal number with which text begins: 0x
// and digits, or a word of eight or more digits that has both figures and letters.
func hexLen(text string) int {
	i := 0
	prefix := len(text) > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')
	if prefix {
		i = 2
	}
	digits, letters := 0, 0
	for ; i < len(text) && isHex(text[i]); i++ {
		if isDigit(text[i]) {
			digits++
		} else {
			letters++
		}
	}
	switch {
	case i < len(text) && wordByte(text[i]):
		return 0
	case prefix && digits+letters > 0, digits > 1 && letters > 1 && digits+letters >= 8:
		return i
	}
	return 0
}

// placeLen returns the length of a path, URL or mail address with which text
// begins, and its mask.
func placeLen(text string) (mask string, n int) {
	n = 0
	for n < len(text) && !endsToken(text[n]) {
		n++
	}
	token := strings.TrimRight(text[:n], ":.!?")
	if !strings.ContainsAny(token, "/.@\\") {
		return "", 0
	}
	slash := strings.IndexByte(token, '/')
	switch {
	case len(token) < 2:
		return "", 0
	case strings.Contains(token, "://"):
		for n < len(text) && strings.IndexByte(" \t\n\r'\"<>", text[n]) < 0 {
			n++
		}
		return maskURL, len(strings.TrimRight(text[:n], ":.!?,;)]}"))
	case token[0] == '/', strings.HasPrefix(token, "./"), strings.HasPrefix(token, "../"), strings.HasPrefix(token, "~/"),
		len(token) > 3 && token[1] == ':' && (token[2] == '\\' || token[2] == '/'):
		return maskPath, len(token)
	case slash > 0 && (strings.Count(token, "/") > 1 || strings.ContainsAny(token, "0123456789") && !isNumeric(token) || hasExtension(token)),
		slash < 0 && hasExtension(token):
		return maskPath, len(token)
	case slash < 0 && strings.Count(token, "@") == 1 && strings.IndexByte(token, '@') > 0 && strings.Contains(token[strings.IndexByte(token, '@'):], "."):
		return maskEmail, len(token)
	}
	return "", 0
}

// endsToken reports whether c ends a token of what may be a path.
func endsToken(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\r', '\'', '"', '`', ',', ';', '(', ')', '[', ']', '{', '}', '<', '>', '|', '=':
		return true
	}
	return false
}

// isNumeric reports whether a token with a slash is a quotient, as 3/10.
func isNumeric(token string) bool {
	return !strings.ContainsFunc(token, func(r rune) bool { return r != '/' && r != '.' && (r < '0' || r > '9') })
}

// extensions are those of files that messages name without a directory.
var extensions = func() map[string]bool {
	all := make(map[string]bool)
	for _, name := range strings.Fields(`txt csv tsv json jsonl ndjson xml yaml yml toml ini cfg conf log md html htm pdf doc docx xls xlsx odt
		jpg jpeg png gif bmp tif tiff webp svg heic cr2 cr3 nef dng mp3 mp4 m4a wav flac ogg mkv avi mov webm
		zip tar gz tgz bz2 xz zst lz4 7z rar parquet feather arrow orc avro npy npz mat h5 hdf5 nc pkl pickle db sqlite sql
		py js ts c h cpp hpp cc rs go java rb sh pl r ipynb so o a dll exe bin dat data fa fasta fastq fq bam sam vcf bed gff
		tmp bak out err lock pem key crt eml msg`) {
		all[name] = true
	}
	return all
}()

// hasExtension reports whether a token is a file name with a known extension.
func hasExtension(token string) bool {
	dot := strings.LastIndexByte(token, '.')
	return dot > 0 && extensions[strings.ToLower(token[dot+1:])]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// wordByte reports whether c is a letter, a digit or an underscore of ASCII.
func wordByte(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}
