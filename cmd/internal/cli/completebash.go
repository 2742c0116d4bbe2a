package cli

import (
	"bytes"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// bashHelpers stand in for what cobra's script takes from the package
// bash-completion, which many servers do not have.
const bashHelpers = `
# The words of the line up to the cursor, as the package bash-completion has
# them; without it, "=" and ":" are joined again to what they stand beside.
__keylime_tenant_words()
{
    if declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        _get_comp_words_by_ref "$@" cur prev words cword
        return
    fi
    local i word rest=${COMP_LINE:0:COMP_POINT}
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ -n ${rest} && ${rest} != [[:blank:]]* ]]; then
            ((i == COMP_CWORD)) && word=${rest}
            words[${#words[@]}-1]+=${word}
        else
            rest=${rest#"${rest%%[![:blank:]]*}"}
            ((i == COMP_CWORD)) && word=${rest}
            words+=("${word}")
        fi
        rest=${rest#"${word}"}
    done
    cword=$((${#words[@]}-1))
    cur=${words[cword]}
    prev=
    ((cword > 0)) && prev=${words[cword-1]}
    return 0
}

# The names of files with the endings "a|b|", or of directories with -d.
__keylime_tenant_filedir()
{
    if declare -F _filedir >/dev/null 2>&1; then
        _filedir "$@"
        return
    fi
    [[ $(type -t compopt) == builtin ]] && compopt -o filenames
    local ending endings IFS=$'\n'
    COMPREPLY=($(compgen -d -- "${cur}"))
    [[ ${1-} == -d ]] && return
    if [[ -z ${1-} ]]; then
        COMPREPLY=($(compgen -f -- "${cur}"))
        return
    fi
    IFS='|' read -ra endings <<<"$1"
    for ending in "${endings[@]}"; do
        [[ -n ${ending} ]] && COMPREPLY+=($(compgen -f -X "!*.${ending}" -- "${cur}"))
    done
    return 0
}
`

// writeBash writes the completion for bash: cobra's, with helpers of our own in
// place of those that may be missing.
func writeBash(root *cobra.Command, w io.Writer) error {
	var b bytes.Buffer
	if err := root.GenBashCompletionV2(&b, true); err != nil {
		return err
	}
	text := strings.NewReplacer(
		`_get_comp_words_by_ref "$@" cur prev words cword`, `__keylime_tenant_words "$@"`,
		`"_filedir `, `"__keylime_tenant_filedir `,
		` _filedir`, ` __keylime_tenant_filedir`,
	).Replace(b.String())
	head, rest, _ := strings.Cut(text, "\n")
	_, err := io.WriteString(w, head+"\n"+bashHelpers+rest)
	return err
}
