package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	envPrefix  = "MAITRED_"
	fileSuffix = "_FILE"
)

// readEnvironment reads the MAITRED_ variables. An empty one counts as not set, because that is what compose files
// and unit files make of a variable that has no value.
func (l *loader) readEnvironment() {
	names := map[string]*Key{}
	for i := range table {
		names[table[i].Env()] = &table[i]
	}
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if !strings.HasPrefix(name, envPrefix) || l.env[name] == "" {
			continue
		}
		plain, isFile := strings.CutSuffix(name, fileSuffix)
		switch k, secret := names[name], names[plain]; {
		case k != nil:
			l.variable(k, name, l.env[name])
		case isFile && secret != nil && secret.Secret:
			l.secretFile(secret, name)
		default:
			l.warn("environment " + display(name) + ": " + unknownVariable(name))
		}
	}
}

func unknownVariable(name string) string {
	var valid []string
	for i := range table {
		valid = append(valid, table[i].Env())
		if table[i].Secret {
			valid = append(valid, table[i].Env()+fileSuffix)
		}
	}
	for key := range planned {
		if k := (&Key{Name: key}); k.Env() == name {
			return plannedText(key) + "; it is ignored"
		}
	}
	return "there is no such variable, it is ignored; the nearest one is " + strings.ToUpper(Nearest(name, valid))
}

func (l *loader) variable(k *Key, name, value string) {
	items := []string{value}
	if k.List {
		items = splitList(value)
	}
	from := origin{kind: fromEnvironment, name: name}
	l.accept(k, from, items, func(parsed any) { l.viper.Set(k.Name, parsed) })
}

// secretFile reads a secret from the file that the variable names. A list has its items on lines or between commas.
func (l *loader) secretFile(k *Key, name string) {
	from := origin{kind: fromEnvironment, name: name}
	wrong := func(problem string) {
		l.mistake(&Mistake{Origin: from.String(), Key: k.Name, Problem: problem})
	}
	if l.env[k.Env()] != "" {
		wrong("is also set by " + k.Env() + "; set one of them")
		return
	}
	data, _, err := readSmall(l.env[name])
	if err != nil {
		wrong("the file " + shorten(l.env[name]) + " " + err.Error())
		return
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		wrong("the file " + shorten(l.env[name]) + " is empty")
		return
	}
	items := []string{text}
	if k.List {
		text = strings.ReplaceAll(text, "\r\n", "\n")
		items = splitList(strings.ReplaceAll(text, "\n", ","))
	}
	l.accept(k, from, items, func(parsed any) { l.viper.Set(k.Name, parsed) })
}

// readFlags reads what the command line sets. A flag may be written with dashes where its key has underscores.
func (l *loader) readFlags(flags map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		from := origin{kind: fromFlag, name: name}
		k := findFlag(name)
		if k == nil {
			problem := "there is no such flag; the nearest one is --" + nearestFlag(name)
			if planned[name] != "" {
				problem = plannedText(name)
			}
			l.mistake(&Mistake{Origin: "flag --" + display(name), Problem: problem})
			continue
		}
		items := []string{flags[name]}
		if k.List {
			items = splitList(flags[name])
		}
		if k.Secret {
			l.warn(fmt.Sprintf("flag --%s: every user of this machine can see a secret on a command line; use %s%s", name, k.Env(), fileSuffix))
		}
		l.accept(k, from, items, func(parsed any) { l.viper.Set(k.Name, parsed) })
	}
}

func findFlag(name string) *Key {
	for key, flag := range shortFlags {
		if flag == name {
			return find(key)
		}
	}
	if k := find(name); k != nil {
		return k
	}
	return find(strings.ReplaceAll(name, "-", "_"))
}
