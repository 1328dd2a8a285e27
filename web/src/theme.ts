/** Colours and sizes of the whole interface, with enough contrast in light and dark. */
import { type CSSVariablesResolver, createTheme } from '@mantine/core';

export const theme = createTheme({
  primaryColor: 'teal',
  primaryShade: 9,
  autoContrast: true,
  defaultRadius: 'md',
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SFMono-Regular", "Noto Sans Mono", "DejaVu Sans Mono", monospace',
});

export const variables: CSSVariablesResolver = () => ({
  variables: {
    // The theme's own are lighter than what white text can be read on.
    '--mantine-primary-color-filled-hover': '#066649',
    '--mantine-color-teal-filled-hover': '#066649',
  },
  light: {
    '--mantine-color-dimmed': '#495057',
    '--mantine-color-body': '#fbfcfd',
    '--mantine-color-error': '#b02525',
    '--mantine-primary-color-filled-hover': '#066649',
    '--mantine-color-teal-filled-hover': '#066649',
    '--mantine-color-placeholder': '#6a7179',
    '--salvor-wrong': '#a11a1a',
    '--salvor-line': '#dfe4e8',
    '--salvor-panel': '#ffffff',
    '--salvor-soft': '#eef5f3',
    '--salvor-named': '#5b8f82',
  },
  dark: {
    '--mantine-color-dimmed': '#b4bac0',
    '--mantine-color-body': '#16191c',
    '--mantine-color-error': '#ff8f8f',
    '--mantine-primary-color-filled-hover': '#066649',
    '--mantine-color-teal-filled-hover': '#066649',
    '--mantine-color-placeholder': '#9aa1a8',
    '--salvor-wrong': '#ff9d9d',
    '--salvor-line': '#343b42',
    '--salvor-panel': '#1d2125',
    '--salvor-soft': '#1f2d2a',
    '--salvor-named': '#6fae9e',
  },
});
