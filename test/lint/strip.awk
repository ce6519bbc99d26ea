# Blank the comments, strings and character constants of C sources; lines keep their numbers.
FNR == 1 { state = "" }
{
    out = ""
    n = length($0)
    for (i = 1; i <= n; i++) {
        c = substr($0, i, 1)
        two = substr($0, i, 2)
        if (state == "comment") {
            if (two == "*/") { state = ""; i++ }
        } else if (state == "string" || state == "char") {
            if (c == "\\") i++
            else if (state == "string" && c == "\"") { state = ""; out = out c }
            else if (state == "char" && c == "'") { state = ""; out = out c }
        } else if (two == "/*") { state = "comment"; i++ }
        else if (two == "//") break
        else {
            if (c == "\"") state = "string"
            # an apostrophe after a hex digit or letter is no constant (there are none in C17, but be safe)
            else if (c == "'") state = "char"
            out = out c
        }
    }
    if (state != "comment" && substr($0, n, 1) != "\\") state = ""
    print FILENAME ":" FNR ":" out
}
