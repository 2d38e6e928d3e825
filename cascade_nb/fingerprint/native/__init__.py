"""Native readers of files: what they are given as their paths, since nobody sees what they open.

A computation is followed beforehand with the arguments that it has (`calls`, `runs`), in its code
made ready for that (`bodies`); expressions give what is `possible`, by `folding` and the `members`
of live objects. `readers` is the table of readers, `reading` what they are given. All but the
table is loaded at first use, since most computations reach no such reader.
"""
